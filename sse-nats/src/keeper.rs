//! Keeps a link up: opens one, waits until it is over, opens the next.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, task::AbortHandle, time::sleep};

use crate::{
    connect_error::ConnectError,
    connection::Connection,
    link::{Acquaintance, Link},
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
        let mut pool = Pool { servers, ..Pool::default() };
        let (link, differences) = pool.open(&settings, Acquaintance::First).await?;
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
        pool.has_failed(&link.connection.name);
        drop(link);
        let mut pause = FIRST_PAUSE;
        link = loop {
            // Nodes that lost it together do not come back in step.
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match pool.open(&settings, Acquaintance::Return).await {
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
#[derive(Default)]
struct Pool {
    servers: Vec<Server>,
    /// Those that servers have named, the last named first.
    neighbours: Vec<Server>,
    /// The names of those that were lost, or not reached, since they were last reached.
    failed: Vec<String>,
}

impl Pool {
    /// A link over the first of them that is reached.
    async fn open(
        &mut self,
        settings: &Settings,
        acquaintance: Acquaintance,
    ) -> Result<(Link, Vec<String>), ConnectError> {
        let mut failed = None;
        for server in self.in_order() {
            let opened = async {
                let connection = Connection::open(&server, settings).await?;
                self.meet(&server, &connection.info.connect_urls);
                Link::open(connection, settings, acquaintance).await
            };
            match opened.await {
                Ok(opened) => {
                    self.failed.retain(|name| *name != server.name());
                    return Ok(opened);
                }
                Err(error) => {
                    self.has_failed(&server.name());
                    failed = failed.or(Some(error));
                }
            }
        }
        Err(failed.unwrap_or_else(|| ConnectError::url("it is empty")))
    }

    /// As they are tried: those of the address from any one of them on, then those that they have named; last of all those
    /// that have failed, each of which may cost seconds.
    fn in_order(&self) -> Vec<Server> {
        let start = rand::random_range(0..self.servers.len().max(1));
        let servers = self.servers.iter().cycle().skip(start).take(self.servers.len());
        let mut servers: Vec<_> = servers.chain(&self.neighbours).cloned().collect();
        servers.sort_by_key(|server| self.failed.contains(&server.name()));
        servers
    }

    fn has_failed(&mut self, name: &str) {
        if !self.failed.iter().any(|failed| failed == name) {
            self.failed.push(name.to_owned());
        }
    }

    /// A server names those of its cluster that run at the moment; the others may come back, and are kept.
    fn meet(&mut self, server: &Server, others: &[String]) {
        let known = |name: &str, pool: &[Server]| pool.iter().any(|server| server.name() == name);
        let others = others.iter().filter_map(|other| server.neighbour(other));
        let mut met: Vec<_> =
            others.filter(|other| !known(&other.name(), &self.servers)).take(MAX_NEIGHBOURS).collect();
        for old in std::mem::take(&mut self.neighbours) {
            if met.len() < MAX_NEIGHBOURS && !known(&old.name(), &met) {
                met.push(old);
            }
        }
        self.neighbours = met;
        let is_there = |name: &String| known(name, &self.servers) || known(name, &self.neighbours);
        self.failed.retain(is_there);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(servers: &[Server]) -> Vec<String> {
        servers.iter().map(Server::name).collect()
    }

    fn meet(pool: &mut Pool, others: &[&str]) {
        let others: Vec<_> = others.iter().map(|other| (*other).to_owned()).collect();
        let server = pool.servers[0].clone();
        pool.meet(&server, &others);
    }

    #[test]
    fn servers_that_were_away_when_others_named_themselves_are_still_known() {
        let mut pool = Pool { servers: Server::parse_all("nats://a").unwrap(), ..Pool::default() };
        meet(&mut pool, &["a:4222", "b:4222", "c:4222"]);
        assert_eq!(names(&pool.neighbours), ["b:4222", "c:4222"]);
        meet(&mut pool, &["c:4222"]);
        assert_eq!(names(&pool.neighbours), ["c:4222", "b:4222"]);
        meet(&mut pool, &[]);
        assert_eq!(pool.neighbours.len(), 2);
        // Addresses of containers change; there is an end to what is remembered.
        for number in 0..100 {
            meet(&mut pool, &[&format!("n{number}:4222"), "not an address"]);
            pool.has_failed(&format!("n{number}:4222"));
        }
        assert_eq!(pool.neighbours.len(), MAX_NEIGHBOURS);
        assert_eq!(pool.neighbours[0].name(), "n99:4222");
        assert!(pool.failed.len() <= MAX_NEIGHBOURS + 1, "{:?}", pool.failed);
    }

    #[test]
    fn what_has_failed_is_tried_last() {
        let mut pool = Pool { servers: Server::parse_all("a,b,c").unwrap(), ..Pool::default() };
        meet(&mut pool, &["d:4222"]);
        pool.has_failed("b:4222");
        pool.has_failed("b:4222");
        for _ in 0..20 {
            let order = names(&pool.in_order());
            assert_eq!(order.len(), 4);
            assert_eq!(&order[2..], ["d:4222", "b:4222"], "{order:?}");
        }
    }
}
