//! [`Cursor`]: where a subscriber stands in the log, and what it is sent next.
//!
//! Live delivery, replay and catching up are one thing here: take what lies between
//! the cursor and the head, in order.

use std::time::Instant;

use bytes::Bytes;

use super::{
    CatchUps, Log, Mark, Pos, TopicKey,
    backlog::{AHEAD_FOR, Backlog, Opening},
    catch_up::{CaughtUp, LOOK_AT_ONCE},
    look::{Ahead, Behind, Member},
    members::Members,
    policy::Policy,
};
use crate::{
    batch::Batch,
    end_reason::EndReason,
    event::{self, Event},
    frame::Frame,
    id::{ClientId, EventId},
};

/// Small: there is one for every subscriber, and all of them are looked at for one event. What only a few need
/// stands apart.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(super) members: Members,
    /// Everything on the topics up to here was given out.
    pub(super) at: Mark,
    /// The last position that the client was given as an id.
    pub(super) sent: Pos,
    pub(super) backlog: Option<Box<Backlog>>,
}

/// What a client was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    /// The last position that it got as an id.
    sent: Pos,
    /// Of the past.
    events: usize,
    bytes: usize,
}

/// What there is for a subscriber that follows the head.
#[derive(Debug)]
pub(crate) enum Followed {
    Nothing,
    /// All that is due: so many events.
    All(Bytes, u32),
    /// As much of it as fits.
    Part(Bytes, u32),
}

impl Cursor {
    pub(crate) fn members(&self) -> &[Member] {
        self.members.as_slice()
    }

    pub(crate) fn add(&mut self, member: Member) {
        self.members.change(|members| members.push(member));
    }

    /// Takes a topic away; nothing of it is owed any more.
    pub(crate) fn remove(&mut self, log: &Log, key: TopicKey) {
        self.members.change(|members| members.retain(|member| member.key != key));
        let Some(backlog) = &mut self.backlog else {
            return;
        };
        backlog.owed.retain(|&(owed, _)| owed != key);
        if backlog.values.iter().any(|value| value.1 == key) {
            // One that is the present value of another of its topics too is still owed.
            let left = log.values(self.members.as_slice(), self.at.pos);
            backlog.values.retain_mut(|value| {
                if value.1 != key {
                    return true;
                }
                let other = left.iter().find(|other| other.0 == value.0);
                other.is_some_and(|other| {
                    *value = *other;
                    true
                })
            });
        }
    }

    pub(crate) fn pos(&self) -> Pos {
        self.at.pos
    }

    /// Whether it stands at the head and owes nothing.
    pub(crate) fn is_at_rest(&self, log: &Log) -> bool {
        self.at.pos == log.head().pos && self.backlog.as_ref().is_none_or(|backlog| backlog.values.is_empty())
    }

    /// What it has yet to be given, if anything.
    pub(crate) fn lags(&self, log: &Log) -> Option<Behind> {
        log.behind(self.members(), self.at)
    }

    /// What the client was given so far.
    pub(crate) fn given(&self) -> Given {
        let replay = self.backlog.as_ref().map(|backlog| backlog.replay).unwrap_or_default();
        Given { sent: self.sent, events: replay.events, bytes: replay.bytes }
    }

    /// What was given out since then does not reach the client: neither does its id, nor does it count against a
    /// cap on replay. A client that is given nothing in place of it would come back for it for ever.
    pub(crate) fn keep_back(&mut self, given: Given) {
        self.sent = given.sent;
        if let Some(Backlog { replay, .. }) = self.backlog.as_deref_mut() {
            (replay.events, replay.bytes) = (given.events, given.bytes);
        }
    }

    /// Nothing more than what is due now.
    pub(crate) fn finish(&mut self, log: &Log) {
        self.backlog.get_or_insert_default().until = Some(log.head().pos);
    }

    /// When it must be asked again at the latest.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        match self.backlog.as_ref()?.opening {
            Some(Opening::Ahead(_, since)) => Some(since + AHEAD_FOR),
            _ => None,
        }
    }

    /// Where the log must come first.
    pub(crate) fn waits_for(&self) -> Option<EventId> {
        match self.backlog.as_ref()?.opening {
            Some(Opening::Ahead(client, _)) => Some(client.id),
            _ => None,
        }
    }

    /// [`take`](Self::take) for a subscriber that simply follows the head, behind which nothing was lost; `None`
    /// where it is not one.
    ///
    /// A crowd that has missed the same events is given the same bytes.
    pub(crate) fn follow(
        &mut self,
        log: &Log,
        policy: &Policy,
        catch_ups: &mut CatchUps,
        limit: usize,
    ) -> Option<Followed> {
        let from = self.at.pos;
        if self.backlog.is_none()
            && let Members::One(member) = &self.members
            && let Some(kept) = log.next_and_newest(*member, from)
        {
            self.at = kept.at;
            self.sent = kept.at.pos;
            return Some(Followed::All(kept.frame.as_bytes().clone(), 1));
        }
        let members = self.members.as_slice();
        let follows = match &self.backlog {
            None => true,
            Some(backlog) => {
                backlog.owes_nothing_else_at(from)
                    && matches!(backlog.opening, None | Some(Opening::Resumed { owes_values: false }))
            }
        };
        if !follows {
            return None;
        }
        let head = log.head();
        if from == head.pos {
            self.backlog = None;
            return Some(Followed::Nothing);
        }
        if !log.is_whole(members, from) {
            return None;
        }
        let (CaughtUp { upto, events, bytes }, last) = match log.ahead(members, from) {
            Ahead::Nothing => {
                self.backlog = None;
                self.at = head;
                return Some(Followed::Nothing);
            }
            Ahead::One(kept) => {
                (CaughtUp { upto: kept.at, events: 1, bytes: kept.frame.as_bytes().clone() }, kept.at)
            }
            Ahead::Upto(last) => (catch_ups.get(log, members, from, last, limit), last),
        };
        if let Some(backlog) = self.backlog.as_deref_mut().filter(|backlog| backlog.counts_at(from, policy)) {
            // All of it is taken for the past: where that may be too much, it is counted event by event.
            backlog.replay = backlog.replay.with(policy, events, bytes.len())?;
            backlog.opening = None;
            if !backlog.counts_at(upto.pos, policy) {
                self.backlog = None;
            }
        } else {
            self.backlog = None;
        }
        self.sent = upto.pos;
        if upto.pos < last.pos {
            self.at = upto;
            Some(Followed::Part(bytes, events as u32))
        } else {
            self.at = head;
            Some(Followed::All(bytes, events as u32))
        }
    }

    /// Puts what is due into the batch, as much as fits. Leaves it empty where nothing is due.
    pub(crate) fn take(&mut self, log: &Log, policy: &Policy, now: Instant, batch: &mut Batch) {
        let mut backlog = self.backlog.take().unwrap_or_default();
        if self.arrive(&mut backlog, log, now, batch) {
            self.take_on(&mut backlog, log, policy, batch);
        }
        if !backlog.is_idle_at(self.at.pos, policy) || backlog.opening.is_some() {
            self.backlog = Some(backlog);
        }
    }

    fn take_on(&mut self, backlog: &mut Backlog, log: &Log, policy: &Policy, batch: &mut Batch) {
        let resumed = match backlog.opening.take() {
            Some(Opening::Lost(reason, after)) => {
                self.restart(backlog, log, policy, reason, after, batch);
                false
            }
            Some(Opening::Fresh) => {
                self.take_values(backlog, log, 0);
                false
            }
            Some(Opening::Resumed { owes_values }) => {
                if owes_values {
                    self.take_values(backlog, log, 0);
                }
                true
            }
            Some(Opening::Ahead(..)) | None => false,
        };
        if let Some(loss) = log.loss(self.members(), self.at.pos, backlog.told, &backlog.owed) {
            self.tell(backlog, log, policy, resumed, &loss, batch);
        }
        if backlog.ended.is_none() {
            self.give(backlog, log, policy, batch);
        }
        backlog.owed.clear();
        if self.at.pos < backlog.told {
            // What lies in front of its joining is not owed.
            let kept = |member: &Member| {
                (member.key, log.count(member.key, self.at.pos.max(member.since), backlog.told))
            };
            let owed: Vec<_> = self.members().iter().map(kept).collect();
            backlog.owed = owed;
        }
        if let Some(reason) = backlog.ended {
            batch.end(reason);
        }
    }

    /// The events between the cursor and the head.
    fn give(&mut self, backlog: &mut Backlog, log: &Log, policy: &Policy, batch: &mut Batch) {
        while let Some(value) = backlog.values.pop() {
            // One that is gone was superseded, and what superseded it comes in its turn, or it left with the
            // hub's limits.
            let Some(frame) = log.value(value) else {
                continue;
            };
            let frame = frame.with_id(self.client_id(backlog));
            if !batch.fits(frame.len()) {
                backlog.values.push(value);
                batch.fill();
                return;
            }
            self.sent = self.at.pos;
            batch.note(|| log.topics_at(value.0));
            batch.push(frame.into_bytes());
            if batch.is_full() {
                return;
            }
        }
        for (looks, kept) in log.due(self.members.as_slice(), self.at.pos).enumerate() {
            if backlog.until.is_some_and(|until| kept.at.pos > until) {
                break;
            }
            if !batch.fits(kept.frame.len()) || looks == LOOK_AT_ONCE {
                batch.fill();
                return;
            }
            let past = kept.at.pos <= backlog.replay.upto;
            if past && backlog.replay.events > 0 && backlog.replay.is_over(policy, kept.frame.len()) {
                backlog.ended = Some(EndReason::ReplayCap);
                return;
            }
            if past {
                backlog.replay.events += 1;
                backlog.replay.bytes += kept.frame.len();
            }
            self.at = kept.at;
            self.sent = kept.at.pos;
            batch.note(|| log.topics_at(kept.at.pos));
            batch.push(kept.frame.as_bytes().clone());
            if batch.is_full() {
                return;
            }
        }
        match backlog.until {
            Some(_) => backlog.ended = Some(EndReason::Closed),
            None => self.at = log.head(),
        }
    }

    /// The present values of *latest value* topics have to go out, out of order: those behind `from`, in front of
    /// which the client has them, and those that had to already.
    pub(super) fn take_values(&self, backlog: &mut Backlog, log: &Log, from: Pos) {
        let pending = std::mem::take(&mut backlog.values);
        let mut values = log.values(self.members(), self.at.pos);
        // By position: the same value may stand under another of its topics now.
        let is_pending = |pos| pending.iter().any(|pending| pending.0 == pos);
        values.retain(|&(pos, _)| pos > from || is_pending(pos));
        values.reverse();
        backlog.values = values;
    }

    /// The position as the client is given it.
    pub(super) fn client_id(&self, backlog: &Backlog) -> ClientId {
        ClientId { id: self.at.id, owes_values: !backlog.values.is_empty() }
    }

    pub(super) fn own(&mut self, name: &'static str, data: String, id: ClientId) -> Frame {
        self.sent = self.at.pos;
        let mut event = Event::reserved(name, data);
        event.id = Some(id.to_string().into_boxed_str());
        Frame::from(&event)
    }

    /// An event that carries nothing but the position.
    ///
    /// At the opening always, so that nobody is without one; later when the client's own is about to fall out
    /// of the log.
    pub(crate) fn position(&mut self, log: &Log, opening: bool) -> Option<Frame> {
        if self.wake_at().is_some() {
            return None;
        }
        let due = opening || (self.at.pos > self.sent && log.oldest() > self.sent);
        let id = self.backlog.as_ref().map_or_else(|| self.at.id.into(), |backlog| self.client_id(backlog));
        due.then(|| self.own(event::POSITION, "{}".to_owned(), id))
    }
}
