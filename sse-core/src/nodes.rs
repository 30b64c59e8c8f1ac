//! [`Shared`] and [`Nodes`]: what the nodes of a hub share beside events, and the way between them.
#![cfg_attr(
    not(feature = "jwt"),
    allow(dead_code, reason = "tickets are the only thing that waits for others")
)]

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    engine::{EngineFuture, Keep, Publication},
    record::{Notice, Record},
    refusal::Refusal,
};

/// What the nodes of a hub share beside events. A hub with an engine is given it when it is built.
pub(crate) trait Shared: fmt::Debug + Send + Sync {
    /// The hub is about to follow its engine's log: what is told from now on is to be told to all nodes.
    fn join(&self, nodes: Nodes);

    /// What this node or another one has told. In the order of the log, and among what was [lost](Self::lost) at its
    /// place; called without any lock, by the one task that follows the log. Whether this version can read it, whomever it
    /// is for.
    fn told(&self, notice: &Notice, when: Told) -> bool;

    /// Notices may have been lost.
    fn lost(&self, loss: Loss);
}

/// When something was told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    /// Before this node came to the log, or where it has missed a part of it; it was kept, and may come again with the
    /// log, or after it.
    Kept,
    /// So long ago, by the engine's clock. Each of these comes once.
    Ago(Duration),
}

/// How notices may have been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Some have not come to this node; the engine had them.
    Missed,
    /// The engine may have lost some that it had accepted, and of which this node may never have heard. Whether it is
    /// known to have lost some that have come here.
    Seam { is_known: bool },
}

/// What carries something to all nodes: a hub with an engine.
pub(crate) trait Carry: fmt::Debug + Send + Sync {
    /// Publishes it, and goes on with that when nobody waits for it any more.
    fn carry(&self, publication: Publication) -> EngineFuture<'static, Result<(), ShareError>>;

    /// Does something where the engine is followed.
    fn spawn(&self, task: EngineFuture<'static, ()>);

    /// Whether the engine cannot be reached at this moment, as far as is known.
    fn is_away(&self) -> bool;

    /// Whether there is a hub to carry anything.
    fn is_open(&self) -> bool;
}

/// The way to the other nodes of a hub. It does not keep the hub.
#[derive(Clone, Debug)]
pub(crate) struct Nodes(Arc<dyn Carry>);

impl Nodes {
    pub(crate) fn by(carry: impl Carry + 'static) -> Self {
        Self(Arc::new(carry))
    }

    /// Tells all nodes, this one included: returns once the engine has accepted it, unless one with this key was told
    /// before. This node hears it a moment later like the others. Whoever stops waiting stops nothing: a client that goes
    /// away in the middle of signing out is signed out everywhere.
    ///
    /// # Errors
    /// [`ShareError`]: it was not told, or may not have been.
    pub(crate) async fn tell(
        &self,
        key: &str,
        notice: &Notice,
        keep: Option<Keep>,
    ) -> Result<(), ShareError> {
        let mut publication = Publication::new(format!("n:{key}"), Record::notice(notice));
        publication.keep = keep;
        self.0.carry(publication).await
    }

    /// Does something by itself.
    pub(crate) fn spawn(&self, task: EngineFuture<'static, ()>) {
        self.0.spawn(task);
    }

    pub(crate) fn is_away(&self) -> bool {
        self.0.is_away()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.is_open()
    }
}

/// Something that was to hold on all nodes of a hub with an [engine](crate::HubBuilder::engine) holds on this one, and
/// perhaps on no other: the engine has not answered in time. What was revoked the others are told when it answers again,
/// as long as this process lives; what was to be ended is not ended later.
///
/// As an answer it is a 503 with `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShareError {
    /// The engine has not accepted it: the other nodes will not hear of it.
    NotShared,
    /// It is not known whether the engine has accepted it.
    Unknown,
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotShared => "it was done here, and the other servers could not be told",
            Self::Unknown => "it was done here, and it is not known whether the other servers were told",
        })
    }
}

impl std::error::Error for ShareError {}

impl From<ShareError> for Refusal {
    fn from(error: ShareError) -> Self {
        Self::sentence(503, &error).retry_after(Duration::from_secs(1))
    }
}
