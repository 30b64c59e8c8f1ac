//! [`Backlog`]: what a subscriber is owed before it simply follows the head.

use std::time::{Duration, Instant};

use super::{Pos, TopicKey, gap::Reason, policy::Policy};
use crate::{
    end_reason::EndReason,
    id::{ClientId, EventId},
};

/// How long a client whose id is ahead of the log is held until the log is there.
pub(super) const AHEAD_FOR: Duration = Duration::from_secs(10);

/// The state of a subscriber that does not simply follow the head. All of it at its default means nothing.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Losses up to here were told.
    pub(super) told: Pos,
    /// How many events of each topic were still kept behind the cursor and not behind `told`, when it was last
    /// looked. A mark cannot tell that one of these is lost after all.
    pub(super) owed: Vec<(TopicKey, usize)>,
    pub(super) opening: Option<Opening>,
    /// Where the present values are that still have to go out, the next one last. They are encoded when they do:
    /// they bear the position that the subscription has then.
    pub(super) values: Vec<(Pos, TopicKey)>,
    pub(super) replay: Replay,
    /// Where it ends, once the server stops.
    pub(super) until: Option<Pos>,
    pub(super) ended: Option<EndReason>,
}

/// What is still to be done before events are given out.
#[derive(Debug)]
pub(super) enum Opening {
    /// The client came at this moment, or its engine has been away since, and is ahead of the log or in an epoch that is
    /// not known here: wait, skipping what it has.
    Ahead(ClientId, Instant),
    /// The client's position means nothing here.
    Lost(Reason, Option<EventId>),
    /// The client is where it says; `trimmed` tells what it has missed since. It may be owed the present values.
    Resumed { owes_values: bool },
    /// A new client: it gets the present values.
    Fresh,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replay {
    pub(super) upto: Pos,
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl Backlog {
    /// Whether a cursor that stands at `pos` could do without, but for how it opens.
    pub(super) fn is_idle_at(&self, pos: Pos, policy: &Policy) -> bool {
        self.owes_nothing_else_at(pos) && !self.counts_at(pos, policy)
    }

    /// The same, but for how much of the past it was sent.
    pub(super) fn owes_nothing_else_at(&self, pos: Pos) -> bool {
        self.told <= pos && self.values.is_empty() && self.until.is_none() && self.ended.is_none()
    }

    /// Whether what lies behind `pos` counts against a cap on replay.
    pub(super) fn counts_at(&self, pos: Pos, policy: &Policy) -> bool {
        !policy.replay.is_none() && self.replay.upto > pos
    }
}

impl Replay {
    /// With so much more of the past; `None` where that may be too much.
    pub(super) fn with(self, policy: &Policy, events: usize, bytes: usize) -> Option<Self> {
        let more = Self { events: self.events + events, bytes: self.bytes + bytes, ..self };
        (!policy.replay.is_exceeded(more.events, more.bytes)).then_some(more)
    }

    pub(super) fn is_over(&self, policy: &Policy, next: usize) -> bool {
        policy.replay.forbids(self.events, self.bytes, next)
    }
}
