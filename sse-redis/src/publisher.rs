//! [`Publisher`]: the connection that records are published over.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use sse_core::{EngineError, Publication, Published};
use tokio::{runtime::Handle, sync::Mutex, time::timeout};

use crate::{
    left::Left,
    script::{Outcome, Script, millis},
    server::{Connection, Server},
    trouble::Trouble,
};

/// So often a record goes to the server that another one of its cluster names, in one try.
const MAX_REDIRECTS: u32 = 3;

/// Publishes over one connection for all, and makes another one when that breaks.
pub(crate) struct Publisher {
    server: Arc<Server>,
    script: Arc<Script>,
    left: Arc<Left>,
    connection: Mutex<Option<Made>>,
    /// Counts connections, so that nobody drops one that another has just made.
    made: AtomicU64,
    clock: ServerClock,
    /// Where the connections are driven, whoever publishes: one whose own thread stands still holds up nobody else.
    runtime: Option<Handle>,
}

impl Publisher {
    /// Where the server's clock said this just now.
    pub(crate) fn new(server: Arc<Server>, script: Arc<Script>, left: Arc<Left>, clock: u64) -> Self {
        Self {
            server,
            script,
            left,
            connection: Mutex::new(None),
            made: AtomicU64::new(0),
            clock: ServerClock::new(clock),
            runtime: Handle::try_current().ok(),
        }
    }

    pub(crate) async fn publish(&self, publication: &Publication) -> Result<Published, EngineError> {
        let patience = self.server.patience();
        let started = Instant::now();
        let left = || patience.saturating_sub(started.elapsed());
        let mut redirects = 0;
        loop {
            let (number, mut connection) = timeout(left(), self.connection())
                .await
                .map_err(|_| EngineError::not_published(Trouble::NoAnswer(patience)))?
                .map_err(EngineError::not_published)?;
            let trouble = match timeout(left(), self.send(&mut connection, publication)).await {
                Ok(Ok(published)) => {
                    // By a server that goes on by itself, perhaps, and the hub tries again.
                    if self.left.find(published.id.epoch()).is_some() {
                        self.forget(number).await;
                    }
                    return Ok(published);
                }
                Ok(Err(trouble)) => trouble,
                Err(_) => Trouble::NoAnswer(patience),
            };
            if trouble.ends_connection() {
                self.forget(number).await;
            }
            // It certainly has not accepted it, and knows who will.
            if trouble.is_moved() && redirects < MAX_REDIRECTS {
                redirects += 1;
                continue;
            }
            return Err(match trouble.code() {
                Some("NOPERM" | "SSEKEPT" | "SSEADD") => EngineError::refused(trouble),
                _ if trouble.is_refusal() || matches!(trouble, Trouble::Late) => {
                    EngineError::not_published(trouble)
                }
                _ => EngineError::unknown(trouble),
            });
        }
    }

    async fn send(
        &self,
        connection: &mut Connection,
        publication: &Publication,
    ) -> Result<Published, Trouble> {
        // A record that is held up on its way for longer than its key may be remembered is not to be appended any more.
        let held_up = millis(self.script.held().key_window) / 2;
        for _ in 0..2 {
            let deadline = self.clock.now().saturating_add(held_up);
            match self.script.publish(connection, publication, deadline).await? {
                Outcome::Published { published, clock } => {
                    self.clock.set(clock);
                    return Ok(published);
                }
                // It has come at once: the clock was changed, or is another server's.
                Outcome::Late { clock } => self.clock.set(clock),
            }
        }
        Err(Trouble::Late)
    }

    async fn connection(&self) -> Result<(u64, Connection), Trouble> {
        let mut place = self.connection.lock().await;
        let times = self.left.times();
        // One that is still open may lead to a server that the log has left.
        let is_good = |made: &&Made| !made.connection.is_broken() && made.times == times;
        if let Some(made) = place.as_ref().filter(is_good) {
            return Ok((made.number, made.connection.clone()));
        }
        *place = None;
        let connection = self.connect().await?;
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        *place = Some(Made { number, times, connection: connection.clone() });
        Ok((number, connection))
    }

    async fn connect(&self) -> Result<Connection, Trouble> {
        if let Some(runtime) = &self.runtime {
            let server = Arc::clone(&self.server);
            // One that has ended drops the task.
            if let Ok(connected) = runtime.spawn(async move { server.connect_telling().await }).await {
                return connected;
            }
        }
        self.server.connect_telling().await
    }

    async fn forget(&self, number: u64) {
        let mut place = self.connection.lock().await;
        if place.as_ref().is_some_and(|made| made.number == number) {
            *place = None;
        }
    }
}

/// A connection, and what was known when it was made.
struct Made {
    number: u64,
    /// How often an epoch had ended.
    times: u64,
    connection: Connection,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The server's clock, by our own since it was last heard.
struct ServerClock {
    since: Instant,
    /// What it said at that moment, in milliseconds.
    then: AtomicU64,
}

impl ServerClock {
    fn new(clock: u64) -> Self {
        Self { since: Instant::now(), then: AtomicU64::new(clock) }
    }

    fn now(&self) -> u64 {
        self.then.load(Ordering::Relaxed).saturating_add(millis(self.since.elapsed()))
    }

    fn set(&self, clock: u64) {
        self.then.store(clock.saturating_sub(millis(self.since.elapsed())), Ordering::Relaxed);
    }
}
