//! [`Cursor`]: where a subscriber stands in the log, and what it is sent next.
//!
//! Plain data like the log. Live delivery, replay and catching up are one thing here: take what lies between
//! the cursor and the head, in order.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;

use super::log::{Log, Loss, Mark, Member, Place, Pos, TopicKey};
use crate::{batch::Batch, event::Event, frame::Frame, id::EventId, request::LastEventId, topic::Topic};

/// How long a client whose id is ahead of the log is held until the log is there.
const AHEAD_FOR: Duration = Duration::from_secs(10);

/// What a subscription begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// What is published from now on.
    Now,
    /// Everything that is still kept, without a word about what is not.
    Oldest,
    /// What lies behind the event with this id, with a gap told where something of it is lost.
    After(EventId),
    /// A position that cannot be read: told as a gap, then from now.
    Unknown,
}

impl From<Option<&LastEventId>> for Start {
    fn from(id: Option<&LastEventId>) -> Self {
        match id {
            None => Self::Now,
            Some(id) => id.as_event_id().map_or(Self::Unknown, Self::After),
        }
    }
}

/// What follows a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnGap {
    /// The stream ends after the gap is told, for clients that fetch the present state then; one that comes
    /// back goes on from the moment of the gap.
    Close,
    /// Everything that is still kept behind the client's position, where that is known; else what comes from
    /// now on. The default.
    #[default]
    Continue,
    /// What comes from now on.
    Now,
}

/// Caps on what one connection is sent of the past.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayCap {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// What the hub's builder decided about subscriptions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) on_gap: OnGap,
    pub(super) replay: Option<ReplayCap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Reason {
    Lagged,
    Restarted,
    Trimmed,
    Unknown,
}

/// The data of an `sse-gap` event.
#[derive(Serialize)]
struct Gap<'a> {
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<EventId>,
    upto: EventId,
    topics: Vec<&'a str>,
}

#[derive(Debug)]
pub(super) struct Cursor {
    members: Vec<Member>,
    /// Everything on the topics up to here was given out.
    at: Mark,
    /// The last position that the client was given as an id.
    sent: Pos,
    /// Losses up to here were told.
    told: Pos,
    /// How many events of each topic were still kept behind the cursor and not behind `told`, when it was last
    /// looked. A mark cannot tell that one of these is lost after all.
    owed: Vec<(TopicKey, usize)>,
    opening: Option<Opening>,
    /// Present values that still have to go out, the next one last.
    values: Vec<Bytes>,
    replay: Replay,
    /// Where it ends, once the server stops.
    until: Option<Pos>,
    ended: bool,
}

/// What is still to be done before events are given out.
#[derive(Debug)]
enum Opening {
    /// The client is ahead of the log: wait, skipping what it has.
    Ahead(EventId, Instant),
    /// The client's position means nothing here.
    Lost(Reason, Option<EventId>),
    /// The client is where it says; `trimmed` tells what it has missed since.
    Resumed,
    /// A new client: it gets the present values.
    Fresh,
}

#[derive(Clone, Copy, Debug)]
struct Replay {
    upto: Pos,
    events: usize,
    bytes: usize,
}

impl Cursor {
    pub(super) fn new(log: &Log, members: Vec<Member>, start: Start, now: Instant) -> Self {
        let head = log.head();
        let (at, opening) = match start {
            Start::Now => (head, Opening::Fresh),
            Start::Oldest => (log.epoch_start(), Opening::Resumed),
            Start::Unknown => (head, Opening::Lost(Reason::Unknown, None)),
            Start::After(id) => match log.place(id, &members) {
                Place::At(pos) => (Mark { pos, id }, Opening::Resumed),
                Place::Ahead if log.fed() => (head, Opening::Ahead(id, now + AHEAD_FOR)),
                Place::Ahead => (head, Opening::Lost(Reason::Unknown, Some(id))),
                Place::Elsewhere => (head, Opening::Lost(Reason::Restarted, Some(id))),
            },
        };
        let told = match start {
            // Who asks for what is kept does not ask for what is not.
            Start::Oldest => head.pos,
            _ => 0,
        };
        Self {
            members,
            at,
            sent: at.pos,
            told,
            owed: Vec::new(),
            opening: Some(opening),
            values: Vec::new(),
            replay: Replay { upto: head.pos, events: 0, bytes: 0 },
            until: None,
            ended: false,
        }
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn members_mut(&mut self) -> &mut Vec<Member> {
        &mut self.members
    }

    /// Nothing of this topic is owed any more.
    pub(super) fn disown(&mut self, key: TopicKey) {
        self.owed.retain(|&(owed, _)| owed != key);
    }

    pub(super) fn pos(&self) -> Pos {
        self.at.pos
    }

    /// Nothing more than what is due now.
    pub(super) fn finish(&mut self, log: &Log) {
        self.until = Some(log.head().pos);
    }

    /// When it must be asked again at the latest.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self.opening {
            Some(Opening::Ahead(_, until)) => Some(until),
            _ => None,
        }
    }

    /// Puts what is due into the batch, as much as fits. Leaves it empty where nothing is due.
    pub(super) fn take(&mut self, log: &Log, policy: &Policy, now: Instant, batch: &mut Batch) {
        if let Some(Opening::Ahead(id, until)) = self.opening {
            match log.place(id, &self.members) {
                Place::At(pos) => {
                    self.at = Mark { pos, id };
                    self.sent = pos;
                    self.opening = Some(Opening::Resumed);
                }
                // What comes meanwhile lies in front of the client's position: it has it.
                Place::Ahead if now < until && log.head().id.epoch == id.epoch => {
                    if self.until.is_some() {
                        batch.end();
                    }
                    return;
                }
                Place::Ahead => self.opening = Some(Opening::Lost(Reason::Unknown, Some(id))),
                Place::Elsewhere => self.opening = Some(Opening::Lost(Reason::Restarted, Some(id))),
            }
        }
        let resumed = match self.opening.take() {
            Some(Opening::Lost(reason, after)) => {
                self.restart(log, policy, reason, after, batch);
                false
            }
            Some(Opening::Fresh) => {
                self.take_values(log);
                false
            }
            Some(Opening::Resumed) => true,
            Some(Opening::Ahead(..)) | None => false,
        };
        if let Some(loss) = log.loss(&self.members, self.at.pos, self.told, &self.owed) {
            self.tell(log, policy, resumed, &loss, batch);
        }
        if !self.ended {
            self.give(log, policy, batch);
        }
        self.owed.clear();
        if self.at.pos < self.told {
            // What lies in front of its joining is not owed.
            let kept = |member: &Member| {
                (member.key, log.count(member.key, self.at.pos.max(member.since), self.told))
            };
            self.owed.extend(self.members.iter().map(kept));
        }
        if self.ended {
            batch.end();
        }
    }

    /// The events between the cursor and the head.
    fn give(&mut self, log: &Log, policy: &Policy, batch: &mut Batch) {
        while let Some(value) = self.values.pop_if(|value| batch.fits(value.len())) {
            self.sent = self.at.pos;
            batch.push(value);
        }
        if !self.values.is_empty() {
            batch.fill();
        }
        if batch.is_full() {
            return;
        }
        for kept in log.due(&self.members, self.at.pos) {
            if self.until.is_some_and(|until| kept.at.pos > until) {
                break;
            }
            if !batch.fits(kept.frame.len()) {
                batch.fill();
                return;
            }
            let past = kept.at.pos <= self.replay.upto;
            if past && self.replay.events > 0 && self.replay.is_over(policy.replay, kept.frame.len()) {
                self.ended = true;
                return;
            }
            if past {
                self.replay.events += 1;
                self.replay.bytes += kept.frame.len();
            }
            self.at = kept.at;
            self.sent = kept.at.pos;
            batch.push(kept.frame.as_bytes().clone());
            if batch.is_full() {
                return;
            }
        }
        match self.until {
            Some(_) => self.ended = true,
            None => self.at = log.head(),
        }
    }

    /// Begins anew where the client's position means nothing.
    fn restart(
        &mut self,
        log: &Log,
        policy: &Policy,
        reason: Reason,
        after: Option<EventId>,
        batch: &mut Batch,
    ) {
        // What a log that was born empty holds is all new to a client of an earlier life.
        let anew = reason == Reason::Restarted && log.born_empty() && policy.on_gap == OnGap::Continue;
        let topics = log.names(&self.members);
        self.at = if anew { log.epoch_start() } else { log.head() };
        let mut upto = self.at;
        if anew && let Some(loss) = log.loss(&self.members, self.at.pos, 0, &[]) {
            upto = loss.upto;
            if !log.keeps(&self.members, self.at.pos, upto.pos) {
                self.at = upto;
            }
        }
        self.told = upto.pos.max(self.at.pos);
        self.push_gap(reason, after, upto.id, &topics, batch);
        self.ended = policy.on_gap == OnGap::Close;
        if !anew {
            self.take_values(log);
        }
    }

    /// Tells of a loss behind a position that is known.
    fn tell(&mut self, log: &Log, policy: &Policy, resumed: bool, loss: &Loss, batch: &mut Batch) {
        let reason = if log.last_seam() > self.at.pos {
            Reason::Restarted
        } else if resumed || log.last_hole() > self.at.pos {
            Reason::Trimmed
        } else {
            Reason::Lagged
        };
        let after = self.at.id;
        let now = policy.on_gap != OnGap::Continue;
        if now {
            self.at = log.head();
        } else if !log.keeps(&self.members, self.at.pos, loss.upto.pos) {
            self.at = loss.upto;
        }
        // What is lost of the owed lies in front of `told`, and the rest of that is not told again.
        self.told = self.told.max(loss.upto.pos).max(self.at.pos);
        self.push_gap(reason, Some(after), loss.upto.id, &loss.topics, batch);
        self.ended = policy.on_gap == OnGap::Close;
        if now {
            self.take_values(log);
        }
    }

    /// An event that says what is missing. Its id never skips what is still to be sent.
    fn push_gap(
        &mut self,
        reason: Reason,
        after: Option<EventId>,
        upto: EventId,
        topics: &[Topic],
        batch: &mut Batch,
    ) {
        let gap = Gap { reason, after, upto, topics: topics.iter().map(Topic::as_str).collect() };
        let data = serde_json::to_string(&gap).unwrap_or_else(|_| "{}".to_owned());
        batch.force(self.own("sse-gap", data).into_bytes());
    }

    /// The present values of *latest value* topics, out of order: under the subscription's own position.
    fn take_values(&mut self, log: &Log) {
        let values = log.values(&self.members, self.at.pos);
        self.values = values.iter().rev().map(|kept| kept.frame.with_id(self.at.id).into_bytes()).collect();
    }

    fn own(&mut self, name: &'static str, data: String) -> Frame {
        self.sent = self.at.pos;
        let mut event = Event::reserved(name, data);
        event.id = Some(self.at.id.to_string().into_boxed_str());
        Frame::from(&event)
    }

    /// An event that carries nothing but the position.
    ///
    /// At the opening always, so that nobody is without one; later when the client's own is about to fall out
    /// of the log.
    pub(super) fn position(&mut self, log: &Log, opening: bool) -> Option<Frame> {
        if matches!(self.opening, Some(Opening::Ahead(..))) {
            return None;
        }
        let due = opening || (self.at.pos > self.sent && log.oldest() > self.sent);
        due.then(|| self.own("sse-position", "{}".to_owned()))
    }
}

impl Replay {
    fn is_over(&self, cap: Option<ReplayCap>, next: usize) -> bool {
        cap.is_some_and(|cap| self.events >= cap.events || self.bytes + next > cap.bytes)
    }
}
