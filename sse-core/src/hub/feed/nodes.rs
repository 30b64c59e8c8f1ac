//! [`Nodes`]: the way to the other nodes of a hub, for what they share beside events.
#![allow(dead_code, reason = "nobody has something to share yet")]

use std::{fmt, time::SystemTime};

use crate::hub::{PublishError, WeakHub};
use crate::{
    engine::{Keep, Published},
    id::EventId,
    record::Notice,
};

/// What the nodes of a hub share beside events. A hub with an engine is given it when it is built.
pub(crate) trait Shared: fmt::Debug + Send + Sync {
    /// The hub is about to follow its engine's log: what is told from now on is to be told to all nodes.
    fn join(&self, nodes: Nodes);

    /// What this node or another one has told. In the order of the log, each once or more; called without any lock, by
    /// the one task that follows the log.
    fn told(&self, notice: &Notice, when: Told);

    /// Notices may have been lost: some that were told may be nowhere, and others may not have come here.
    fn lost(&self);
}

/// When something was told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    /// Before this node started; it was kept.
    Kept,
    /// Here in the log, at this time as far as clocks tell.
    At(EventId, SystemTime),
}

/// The way to the other nodes of a hub.
#[derive(Clone, Debug)]
pub(crate) struct Nodes(WeakHub);

impl Nodes {
    pub(super) fn of(hub: WeakHub) -> Self {
        Self(hub)
    }

    /// Tells all nodes, this one included: returns once the engine has accepted it, unless one with this key was told
    /// before. This node hears it a moment later like the others.
    ///
    /// # Errors
    /// [`PublishError`]: it was not told, or may not have been.
    pub(crate) async fn tell(
        &self,
        key: String,
        notice: &Notice,
        keep: Option<Keep>,
    ) -> Result<Published, PublishError> {
        let hub = self.0.upgrade().ok_or(PublishError::NotPublished)?;
        hub.tell(key, notice, keep).await
    }

    /// Whether the engine cannot be reached at this moment, as far as is known.
    pub(crate) fn is_away(&self) -> bool {
        self.0.upgrade().is_none_or(|hub| hub.away_for().is_some())
    }
}
