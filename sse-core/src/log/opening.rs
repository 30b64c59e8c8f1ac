//! How a [`Cursor`] begins, and waits for a log that has not arrived where its client is.

use std::time::Instant;

use super::{
    Log, Mark,
    backlog::{AHEAD_FOR, Backlog, Opening, Replay},
    cursor::Cursor,
    gap::Reason,
    look::{Member, Place},
    members::Members,
    start::{Position, Start},
};
use crate::{batch::Batch, end_reason::EndReason, id::ClientId, metrics::Resumed};

impl Cursor {
    pub(crate) fn new(log: &Log, members: Vec<Member>, start: Position, now: Instant) -> Self {
        let head = log.head();
        // Who asks for what is kept does not ask for what is not.
        let mut told = 0;
        let (at, opening) = match start {
            Position::Server(Start::Now) => (head, Opening::Fresh),
            Position::Server(Start::Oldest) => {
                told = head.pos;
                (log.start(), Opening::Resumed { owes_values: false })
            }
            // The present values are of today, wherever they lie.
            Position::Server(Start::Last(events)) => {
                told = head.pos;
                (log.before_last(&members, events), Opening::Resumed { owes_values: true })
            }
            Position::Server(Start::Since(time)) => {
                told = head.pos;
                (log.before_time(time, now), Opening::Resumed { owes_values: true })
            }
            // It may be that of one present value, behind which others were due.
            Position::Server(Start::After(id)) => {
                Self::behind(log, &members, ClientId { id, owes_values: true }, now)
            }
            Position::Client(Some(client)) => Self::behind(log, &members, client, now),
            Position::Client(None) => (head, Opening::Lost(Reason::Unknown, None)),
        };
        let backlog = Backlog {
            told,
            opening: Some(opening),
            replay: Replay { upto: head.pos, events: 0, bytes: 0 },
            ..Backlog::default()
        };
        Self { members: Members::new(members), at, sent: at.pos, backlog: Some(Box::new(backlog)) }
    }

    /// Where one begins that has everything up to an id.
    fn behind(log: &Log, members: &[Member], client: ClientId, now: Instant) -> (Mark, Opening) {
        let ClientId { id, owes_values } = client;
        let head = log.head();
        match log.place(id, members) {
            Place::At(pos) => (Mark { pos, id }, Opening::Resumed { owes_values }),
            Place::Ahead | Place::Elsewhere if log.fed() => (head, Opening::Ahead(client, now)),
            Place::Ahead => (head, Opening::Lost(Reason::Unknown, Some(id))),
            Place::Elsewhere => (head, Opening::Lost(Reason::Restarted, Some(id))),
        }
    }

    /// What becomes of a client that came back with its position.
    pub(crate) fn resumed(&self, log: &Log) -> Resumed {
        let opening = self.backlog.as_ref().and_then(|backlog| backlog.opening.as_ref());
        match opening {
            Some(Opening::Lost(Reason::Restarted, _)) => Resumed::Restarted,
            Some(Opening::Lost(..)) => Resumed::Unknown,
            _ if log.loss(self.members(), self.at.pos, 0, &[]).is_none() => Resumed::Exact,
            _ if log.last_seam > self.at.pos || log.taken_back_at(self.at.pos).is_some() => {
                Resumed::Restarted
            }
            _ => Resumed::Trimmed,
        }
    }

    /// Looks whether the log has arrived where the client is, ahead of it or in an epoch that has not come here yet.
    /// Until then there is nothing for it.
    ///
    /// A log that does not get there in time says nothing of the client's position, and leaves it what it has:
    /// only its engine knows whether there is such an event.
    pub(super) fn arrive(
        &mut self,
        backlog: &mut Backlog,
        log: &Log,
        now: Instant,
        batch: &mut Batch,
    ) -> bool {
        let Some(Opening::Ahead(client @ ClientId { id, owes_values }, since)) = backlog.opening else {
            return true;
        };
        let opening = match log.place(id, self.members()) {
            Place::At(pos) => {
                self.at = Mark { pos, id };
                self.sent = pos;
                Opening::Resumed { owes_values }
            }
            // What comes meanwhile lies in front of the client's position: it has it.
            Place::Ahead if log.denies(id, since) => Opening::Lost(Reason::Unknown, Some(id)),
            Place::Elsewhere if log.knows_epochs_since(since) => Opening::Lost(Reason::Restarted, Some(id)),
            Place::Ahead | Place::Elsewhere => {
                if backlog.until.is_some() || (now >= since + AHEAD_FOR && !log.is_away()) {
                    batch.end(EndReason::Closed);
                } else if log.is_away() {
                    backlog.opening = Some(Opening::Ahead(client, since.max(now)));
                }
                return false;
            }
        };
        backlog.opening = Some(opening);
        true
    }
}
