//! [`EngineHubBuilder`]: a hub behind which an engine stands.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot, time::timeout_at};

use super::{Feed, State, Times, after, follow::Follow, nodes};
#[cfg(feature = "auth")]
use crate::auth::Auth;
use crate::{
    engine::{Engine, Fed},
    hub::{
        Hub,
        inner::{Inner, Settings},
    },
    log::{Limits, Log},
    nodes::Shared,
};

/// A hub of several processes: [`HubBuilder::engine`](crate::HubBuilder::engine) begins one.
#[derive(Debug)]
pub struct EngineHubBuilder {
    limits: Limits,
    settings: Settings,
    engine: Arc<dyn Engine>,
    times: Times,
    shared: Vec<Arc<dyn Shared>>,
}

impl EngineHubBuilder {
    pub(in crate::hub) fn new(limits: Limits, settings: Settings, engine: impl Engine) -> Self {
        let times = Times {
            publish: Duration::from_secs(5),
            ready: Duration::from_secs(30),
            unready: Duration::from_secs(30),
            opens_while_away: true,
        };
        Self { limits, settings, engine: Arc::new(engine), times, shared: Vec::new() }
    }

    /// How long [`Hub::publish`] tries before it fails (default 5 s; at most half of the time for which the engine
    /// remembers keys, so that it cannot publish twice).
    #[must_use]
    pub fn publish_timeout(mut self, within: Duration) -> Self {
        self.times.publish = within;
        self
    }

    /// How long [`build`](Self::build) waits for the past to be read (default 30 s).
    #[must_use]
    pub fn ready_timeout(mut self, within: Duration) -> Self {
        self.times.ready = within;
        self
    }

    /// How long the engine may be away before [`Hub::is_ready`] says no (default 30 s). Open streams stay open, and what
    /// a server does beside its streams goes on: one that does much else takes longer, or `Duration::MAX` for never.
    #[must_use]
    pub fn unready_after(mut self, away: Duration) -> Self {
        self.times.unready = away;
        self
    }

    /// Whether streams are opened while the engine is away (default: yes). Without, clients are told to come back in a
    /// while: nobody is let in who was signed out on another node a moment ago.
    #[must_use]
    pub fn open_while_away(mut self, opens: bool) -> Self {
        self.times.opens_while_away = opens;
        self
    }

    /// What is revoked by this `Auth`, and the tickets that it issues, hold on all nodes; each of them says so. A second
    /// one is shared [by a name](Self::share_as).
    ///
    /// From then on revoking and issuing tickets wait for the engine, and fail where it does not answer.
    #[cfg(feature = "auth")]
    #[must_use]
    pub fn share(self, auth: &Auth) -> Self {
        self.share_as("", auth)
    }

    /// [`share`](Self::share) for one of several: all nodes have the same name for it. Two of one name on a node would be
    /// taken for one.
    #[cfg(feature = "auth")]
    #[must_use]
    pub fn share_as(mut self, name: &str, auth: &Auth) -> Self {
        self.shared.push(auth.shared_as(name));
        self
    }

    #[cfg(test)]
    pub(super) fn share_with(mut self, shared: Arc<dyn Shared>) -> Self {
        self.shared.push(shared);
        self
    }

    /// The hub, once it has read what the engine has kept: it is ready for clients then, also for those that come back
    /// from another node. It follows the engine in the runtime that this is awaited in, for as long as that lives.
    ///
    /// # Errors
    /// [`BuildError`] where the engine does not answer in time.
    pub async fn build(self) -> Result<Hub, BuildError> {
        let Self { limits, settings, engine, times, shared } = self;
        let name = engine.name();
        let runtime = Handle::try_current()
            .map_err(|_| BuildError::new(name, "there is no runtime of tokio".into()))?;
        let deadline = after(times.ready);
        let mut tail = engine.tail(limits.past());
        let mut reason = format!("it did not answer within {:?}", times.ready);
        let (start, is_first) = loop {
            let next = timeout_at(deadline, poll_fn(|cx| tail.as_mut().poll_next(cx))).await;
            match next {
                Ok(Some(Fed::Begin { start, is_first })) => break (start, is_first),
                Ok(Some(Fed::Away { reason: why })) => reason = why,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(BuildError::new(name, reason)),
            }
        };
        let log = Log::new(limits, start, true, is_first);
        let state = Mutex::new(State::default());
        let has_warned = AtomicBool::new(false);
        let feed = Feed { engine, times, runtime: runtime.clone(), state, shared, has_warned };
        let hub = Hub(Arc::new(Inner::new(log, settings, Some(feed))));
        let (ready, is_ready) = oneshot::channel();
        let follow = Follow::new(&hub, tail, ready);
        if let Some(feed) = &hub.0.feed {
            feed.shared.iter().for_each(|shared| shared.join(nodes::nodes(&hub)));
            feed.lock().task = Some(runtime.spawn(follow.run()).abort_handle());
        }
        match timeout_at(deadline, is_ready).await {
            Ok(Ok(())) => Ok(hub),
            _ => Err(BuildError::new(name, format!("its log could not be read within {:?}", times.ready))),
        }
    }
}

/// A hub's engine did not answer.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildError {
    engine: &'static str,
    reason: String,
}

impl BuildError {
    fn new(engine: &'static str, reason: String) -> Self {
        Self { engine, reason }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hub cannot follow {}: {}", self.engine, self.reason)
    }
}

/// As it is displayed: this is what a `main` that returns it prints.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BuildError {}
