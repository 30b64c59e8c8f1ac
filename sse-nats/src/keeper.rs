//! Keeps a link up: opens one, waits until it is over, opens the next.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, task::AbortHandle, time::sleep};

use crate::{
    connect_error::ConnectError,
    connection::Connection,
    link::Link,
    settings::{Server, Settings},
};

/// Between two tries, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Servers that others have named.
const MAX_NEIGHBOURS: usize = 32;

/// Whether there is a link.
#[derive(Clone, Debug)]
pub(crate) enum Presence {
    Up(Arc<Link>),
    Down { reason: String },
}

impl Presence {
    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        match self {
            Self::Up(link) if link.connection.why_over().is_none() => Some(link),
            _ => None,
        }
    }

    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Up(link) => link.connection.why_over().unwrap_or_default(),
            Self::Down { reason } => reason.clone(),
        }
    }
}

/// Ends its task when dropped.
pub(crate) struct Keeper {
    pub(crate) presence: watch::Receiver<Presence>,
    task: AbortHandle,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    /// The first link, whose errors are the caller's.
    pub(crate) async fn start(servers: Vec<Server>, settings: Settings) -> Result<Self, ConnectError> {
        let mut pool = Pool { servers, neighbours: Vec::new() };
        let (link, differences) = pool.open(&settings).await?;
        link.try_permissions().await?;
        for difference in &differences {
            tracing::warn!("a stream is used as it is, with other settings than asked for: {difference}");
        }
        let link = Arc::new(link);
        let (sender, presence) = watch::channel(Presence::Up(Arc::clone(&link)));
        let task = tokio::spawn(keep(pool, settings, link, sender, differences)).abort_handle();
        Ok(Self { presence, task })
    }
}

async fn keep(
    mut pool: Pool,
    settings: Settings,
    mut link: Arc<Link>,
    presence: watch::Sender<Presence>,
    mut differences: Vec<String>,
) {
    loop {
        let reason = link.connection.over().await;
        tracing::warn!("the NATS server at {} is away: {reason}", link.connection.name);
        presence.send_replace(Presence::Down { reason });
        drop(link);
        let mut pause = FIRST_PAUSE;
        link = loop {
            // Nodes that lost it together do not come back in step.
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match pool.open(&settings).await {
                Ok((link, found)) => {
                    for difference in found.iter().filter(|found| !differences.contains(found)) {
                        tracing::warn!(
                            "a stream is used as it is, with other settings than asked for: {difference}"
                        );
                    }
                    differences = found;
                    break Arc::new(link);
                }
                Err(error) => {
                    tracing::debug!("not connected again: {error}");
                    presence.send_replace(Presence::Down { reason: error.to_string() });
                }
            }
        };
        tracing::info!("connected to the NATS server at {} again", link.connection.name);
        presence.send_replace(Presence::Up(Arc::clone(&link)));
    }
}

/// The servers that there are.
struct Pool {
    servers: Vec<Server>,
    neighbours: Vec<Server>,
}

impl Pool {
    /// A link over the first of them that is reached.
    async fn open(&mut self, settings: &Settings) -> Result<(Link, Vec<String>), ConnectError> {
        let mut failed = None;
        let start = rand::random_range(0..self.servers.len().max(1));
        let servers = self.servers.iter().cycle().skip(start).take(self.servers.len());
        let servers: Vec<_> = servers.chain(&self.neighbours).cloned().collect();
        for server in servers {
            let opened = async {
                let connection = Connection::open(&server, settings).await?;
                self.meet(&server, &connection.info.connect_urls);
                Link::open(connection, settings).await
            };
            match opened.await {
                Ok(opened) => return Ok(opened),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| ConnectError::url("it is empty")))
    }

    fn meet(&mut self, server: &Server, others: &[String]) {
        let known = |name: &str, pool: &[Server]| pool.iter().any(|server| server.name() == name);
        let others = others.iter().filter_map(|other| server.neighbour(other));
        let new: Vec<_> =
            others.filter(|other| !known(&other.name(), &self.servers)).take(MAX_NEIGHBOURS).collect();
        if !new.is_empty() {
            self.neighbours = new;
        }
    }
}
