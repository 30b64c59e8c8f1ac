//! [`Feed`]: the way between a hub and its engine.
//!
//! What is published goes to the engine, and only what comes back from it goes into the log: so all nodes have the same
//! events under the same ids in the same order.

mod builder;
mod follow;
mod nodes;
mod publish;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::AbortHandle,
    time::Instant,
};

pub use self::builder::{BuildError, EngineHubBuilder};
use crate::{
    engine::Engine,
    metrics::{self, Count},
    nodes::Shared,
};

/// The way between a hub and its engine.
pub(super) struct Feed {
    engine: Arc<dyn Engine>,
    times: Times,
    /// Where the engine is followed.
    runtime: Handle,
    state: Mutex<State>,
    /// Who else has something in the log.
    shared: Vec<Arc<dyn Shared>>,
    /// Whether it was said that somebody is let in by what the other nodes do not know of.
    has_warned: AtomicBool,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
struct Times {
    publish: Duration,
    ready: Duration,
    unready: Duration,
    opens_while_away: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Since when the engine has not answered.
    away_since: Option<Instant>,
    task: Option<AbortHandle>,
    /// What drives the runtime, where that is a single thread.
    only_thread: Option<ThreadId>,
}

/// A time that nobody waits for.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// When so much time has passed, which may be more than there is.
fn after(time: Duration) -> Instant {
    Instant::now() + time.min(FAR)
}

impl Feed {
    /// For how long the engine has not answered.
    pub(super) fn away_for(&self) -> Option<Duration> {
        self.lock().away_since.map(|since| since.elapsed())
    }

    /// Whether balancers should send nobody here.
    pub(super) fn is_ready(&self) -> bool {
        self.away_for().is_none_or(|away| away < self.times.unready)
    }

    /// Where the engine is followed.
    pub(super) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// Whether streams are opened at this moment.
    pub(super) fn opens(&self) -> bool {
        self.times.opens_while_away || self.away_for().is_none()
    }

    /// Says once that somebody was let in by an `Auth` that no hub with an engine shares.
    pub(super) fn warn_of_unshared(&self) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the hub has an engine, and a request was let in by an `Auth` that it does not share: what is revoked on \
                 one node holds on that one alone. `EngineHubBuilder::share` is for this"
            );
        }
    }

    /// The engine is followed on this thread.
    fn note_thread(&self) {
        if self.runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            self.lock().only_thread = Some(thread::current().id());
        }
    }

    /// Whether nothing that is waited for on this thread can happen. The threads of a runtime's pool are others.
    fn is_only_thread(&self) -> bool {
        Handle::try_current().is_ok_and(|current| current.id() == self.runtime.id())
            && self.lock().only_thread == Some(thread::current().id())
    }

    /// Whether the engine answers, as far as is known.
    fn note(&self, is_away: bool) {
        let mut state = self.lock();
        if !is_away {
            state.away_since = None;
        } else if state.away_since.is_none() {
            state.away_since = Some(Instant::now());
            metrics::count(Count::EngineAway);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(task) = self.lock().task.take() {
            task.abort();
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("engine", &self.engine.name())
            .field("state", &self.lock())
            .finish_non_exhaustive()
    }
}
