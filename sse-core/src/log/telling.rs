//! How a [`Cursor`] tells what was lost to it, and where it goes on.

use super::{
    Log, Mark,
    backlog::Backlog,
    cursor::Cursor,
    gap::{Gap, Reason},
    look::Loss,
    policy::{OnGap, OnLag, Policy},
};
use crate::{
    batch::Batch,
    end_reason::EndReason,
    event,
    id::EventId,
    metrics::{self, Count},
    topic::Topic,
};

impl Cursor {
    /// Begins anew where the client's position means nothing.
    pub(super) fn restart(
        &mut self,
        backlog: &mut Backlog,
        log: &Log,
        policy: &Policy,
        reason: Reason,
        after: Option<EventId>,
        batch: &mut Batch,
    ) {
        // What a log holds from the first of its epoch on is all new to a client of another one.
        let anew = reason == Reason::Restarted && log.has_epoch_start() && policy.on_gap == OnGap::Continue;
        let topics = log.names(self.members());
        self.at = if anew { log.epoch_start() } else { log.head() };
        let mut upto = self.at;
        if anew && let Some(loss) = log.loss(self.members(), self.at.pos, 0, &[]) {
            upto = loss.upto;
            if !log.keeps(self.members(), self.at.pos, upto.pos) {
                self.at = upto;
            }
        }
        backlog.told = upto.pos.max(self.at.pos);
        if !anew {
            self.take_values(backlog, log, 0);
        }
        self.push_gap(backlog, reason, after, upto.id, &topics, batch);
        backlog.ended = (policy.on_gap == OnGap::Close).then_some(EndReason::Gap);
    }

    /// Tells of a loss behind a position that is known.
    pub(super) fn tell(
        &mut self,
        backlog: &mut Backlog,
        log: &Log,
        policy: &Policy,
        resumed: bool,
        loss: &Loss,
        batch: &mut Batch,
    ) {
        let reason = if log.last_seam > self.at.pos || log.taken_back_at(self.at.pos).is_some() {
            Reason::Restarted
        } else if resumed || log.last_hole > self.at.pos {
            Reason::Trimmed
        } else {
            Reason::Lagged
        };
        if reason == Reason::Lagged && policy.on_lag == OnLag::Reconnect {
            // With an id it comes back in any case, and with all that it was sent.
            let id = self.client_id(backlog);
            batch.force(self.own(event::POSITION, "{}".to_owned(), id).into_bytes());
            backlog.ended = Some(EndReason::Lagged);
            return;
        }
        let Mark { pos: from, id: after } = self.at;
        let lags_to_now = reason == Reason::Lagged && policy.on_lag == OnLag::Now;
        if policy.on_gap != OnGap::Continue || lags_to_now {
            self.at = log.head();
            self.take_values(backlog, log, from);
        } else if !log.keeps(self.members(), self.at.pos, loss.upto.pos) {
            self.at = loss.upto;
        }
        // What is lost of the owed lies in front of `told`, and the rest of that is not told again.
        backlog.told = backlog.told.max(loss.upto.pos).max(self.at.pos);
        self.push_gap(backlog, reason, Some(after), loss.upto.id, &loss.topics, batch);
        backlog.ended = (policy.on_gap == OnGap::Close && !lags_to_now).then_some(EndReason::Gap);
    }

    /// An event that says what is missing. Its id never skips what is still to be sent.
    fn push_gap(
        &mut self,
        backlog: &Backlog,
        reason: Reason,
        after: Option<EventId>,
        upto: EventId,
        topics: &[Topic],
        batch: &mut Batch,
    ) {
        metrics::add(Count::Gaps, reason as usize, 1);
        let gap = Gap { reason, after, upto, topics: topics.iter().map(Topic::as_str).collect() };
        let data = serde_json::to_string(&gap).unwrap_or_else(|_| "{}".to_owned());
        let id = self.client_id(backlog);
        batch.note(|| topics.to_vec());
        batch.force(self.own(event::GAP, data, id).into_bytes());
    }
}
