//! [`Backlog`]: what a subscriber is owed before it simply follows the head.

use std::time::Instant;

use super::{
    Log, Mark, Pos, TopicKey,
    cursor::{AHEAD_FOR, Cursor},
    gap::Reason,
    look::Place,
    policy::Policy,
};
use crate::{
    batch::Batch,
    id::{ClientId, EventId},
};

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
    pub(super) ended: bool,
}

/// What is still to be done before events are given out.
#[derive(Debug)]
pub(super) enum Opening {
    /// The client came at this moment and is ahead of the log: wait, skipping what it has.
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
        self.told <= pos
            && self.values.is_empty()
            && self.until.is_none()
            && !self.ended
            && (policy.replay.is_none() || self.replay.upto <= pos)
    }

    /// Looks whether the log has arrived where the client is. Until then there is nothing for it.
    ///
    /// A log that does not get there in time says nothing of the client's position, and leaves it what it has:
    /// only its engine knows whether there is such an event.
    pub(super) fn arrive(&mut self, cursor: &mut Cursor, log: &Log, now: Instant, batch: &mut Batch) -> bool {
        let Some(Opening::Ahead(ClientId { id, owes_values }, since)) = self.opening else {
            return true;
        };
        match log.place(id, cursor.members()) {
            Place::At(pos) => {
                cursor.at = Mark { pos, id };
                cursor.sent = pos;
                self.opening = Some(Opening::Resumed { owes_values });
            }
            // What comes meanwhile lies in front of the client's position: it has it.
            Place::Ahead if log.denies(id, since) => {
                self.opening = Some(Opening::Lost(Reason::Unknown, Some(id)));
            }
            Place::Ahead => {
                if self.until.is_some() || now >= since + AHEAD_FOR {
                    batch.end();
                }
                return false;
            }
            Place::Elsewhere => self.opening = Some(Opening::Lost(Reason::Restarted, Some(id))),
        }
        true
    }
}

impl Replay {
    pub(super) fn is_over(&self, policy: &Policy, next: usize) -> bool {
        policy.replay.forbids(self.events, self.bytes, next)
    }
}
