//! [`Cursor`]: where a subscriber stands in the log, and what it is sent next.
//!
//! Live delivery, replay and catching up are one thing here: take what lies between
//! the cursor and the head, in order.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    CatchUps, Log, Mark, Pos, TopicKey,
    gap::{Gap, Reason},
    look::{Ahead, Loss, Member, Place},
    policy::{OnGap, Policy, Position, Start},
};
use crate::{
    batch::Batch,
    event::Event,
    frame::Frame,
    id::{ClientId, EventId},
    topic::Topic,
};

/// How long a client whose id is ahead of the log is held until the log is there.
const AHEAD_FOR: Duration = Duration::from_secs(10);

/// How many events are given in one look under the hub's lock, however small they are.
pub(crate) const LOOK_AT_ONCE: usize = 512;

/// Small: there is one for every subscriber, and all of them are looked at for one event. What only a few need
/// stands apart.
#[derive(Debug)]
pub(crate) struct Cursor {
    members: Members,
    /// Everything on the topics up to here was given out.
    at: Mark,
    /// The last position that the client was given as an id.
    sent: Pos,
    more: Option<Box<More>>,
}

/// What there is for a subscriber that follows the head.
#[derive(Debug)]
pub(crate) enum Followed {
    Nothing,
    /// All that is due.
    All(Bytes),
    /// As much of it as fits.
    Part(Bytes),
}

/// The state of a subscriber that does not simply follow the head. All of it at its default means nothing.
#[derive(Debug, Default)]
struct More {
    /// Losses up to here were told.
    told: Pos,
    /// How many events of each topic were still kept behind the cursor and not behind `told`, when it was last
    /// looked. A mark cannot tell that one of these is lost after all.
    owed: Vec<(TopicKey, usize)>,
    opening: Option<Opening>,
    /// Where the present values are that still have to go out, the next one last. They are encoded when they do:
    /// they bear the position that the subscription has then.
    values: Vec<(Pos, TopicKey)>,
    replay: Replay,
    /// Where it ends, once the server stops.
    until: Option<Pos>,
    ended: bool,
}

/// The topics of a subscription, most often one.
#[derive(Debug)]
enum Members {
    One(Member),
    Any(Vec<Member>),
}

impl Members {
    fn new(members: Vec<Member>) -> Self {
        match members[..] {
            [member] => Self::One(member),
            _ => Self::Any(members),
        }
    }

    fn as_slice(&self) -> &[Member] {
        match self {
            Self::One(member) => std::slice::from_ref(member),
            Self::Any(members) => members,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<Member>)) {
        let mut members = self.as_slice().to_vec();
        change(&mut members);
        *self = Self::new(members);
    }
}

/// What is still to be done before events are given out.
#[derive(Debug)]
enum Opening {
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
struct Replay {
    upto: Pos,
    events: usize,
    bytes: usize,
}

impl Cursor {
    pub(crate) fn new(log: &Log, members: Vec<Member>, start: Position, now: Instant) -> Self {
        let head = log.head();
        let resumed = |at| (at, Opening::Resumed { owes_values: false });
        // Who asks for what is kept does not ask for what is not.
        let mut told = 0;
        let (at, opening) = match start {
            Position::Server(Start::Now) => (head, Opening::Fresh),
            Position::Server(Start::Oldest) => {
                told = head.pos;
                resumed(log.epoch_start())
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
            Position::Server(Start::After(id)) => Self::behind(log, &members, id.into(), now),
            Position::Client(Some(client)) => Self::behind(log, &members, client, now),
            Position::Client(None) => (head, Opening::Lost(Reason::Unknown, None)),
        };
        let more = More {
            told,
            opening: Some(opening),
            replay: Replay { upto: head.pos, events: 0, bytes: 0 },
            ..More::default()
        };
        Self { members: Members::new(members), at, sent: at.pos, more: Some(Box::new(more)) }
    }

    /// Where one begins that has everything up to an id.
    fn behind(log: &Log, members: &[Member], client: ClientId, now: Instant) -> (Mark, Opening) {
        let ClientId { id, owes_values } = client;
        let head = log.head();
        match log.place(id, members) {
            Place::At(pos) => (Mark { pos, id }, Opening::Resumed { owes_values }),
            Place::Ahead if log.fed() => (head, Opening::Ahead(client, now)),
            Place::Ahead => (head, Opening::Lost(Reason::Unknown, Some(id))),
            Place::Elsewhere => (head, Opening::Lost(Reason::Restarted, Some(id))),
        }
    }

    pub(crate) fn members(&self) -> &[Member] {
        self.members.as_slice()
    }

    pub(crate) fn add(&mut self, member: Member) {
        self.members.change(|members| members.push(member));
    }

    /// Takes a topic away; nothing of it is owed any more.
    pub(crate) fn remove(&mut self, log: &Log, key: TopicKey) {
        self.members.change(|members| members.retain(|member| member.key != key));
        let Some(more) = &mut self.more else {
            return;
        };
        more.owed.retain(|&(owed, _)| owed != key);
        if more.values.iter().any(|value| value.1 == key) {
            // One that is the present value of another of its topics too is still owed.
            let left = log.values(self.members.as_slice(), self.at.pos);
            more.values.retain_mut(|value| {
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

    /// The last position that the client was given as an id.
    pub(crate) fn sent(&self) -> Pos {
        self.sent
    }

    /// What was given out since `sent` does not reach the client, and its id neither.
    pub(crate) fn keep_back(&mut self, sent: Pos) {
        self.sent = sent;
    }

    /// Nothing more than what is due now.
    pub(crate) fn finish(&mut self, log: &Log) {
        self.more.get_or_insert_default().until = Some(log.head().pos);
    }

    /// When it must be asked again at the latest.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        match self.more.as_ref()?.opening {
            Some(Opening::Ahead(_, since)) => Some(since + AHEAD_FOR),
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
        if self.more.is_none()
            && let Members::One(member) = &self.members
            && let Some(kept) = log.next_and_newest(*member, from)
        {
            self.at = kept.at;
            self.sent = kept.at.pos;
            return Some(Followed::All(kept.frame.as_bytes().clone()));
        }
        let members = self.members.as_slice();
        let follows = match &self.more {
            None => true,
            Some(more) => {
                more.is_idle_at(from, policy)
                    && matches!(more.opening, None | Some(Opening::Resumed { owes_values: false }))
            }
        };
        if !follows {
            return None;
        }
        let head = log.head();
        if from == head.pos {
            self.more = None;
            return Some(Followed::Nothing);
        }
        if !log.is_whole(members, from) {
            return None;
        }
        self.more = None;
        let (bytes, upto, last) = match log.ahead(members, from) {
            Ahead::Nothing => {
                self.at = head;
                return Some(Followed::Nothing);
            }
            Ahead::One(kept) => (kept.frame.as_bytes().clone(), kept.at, kept.at),
            Ahead::Upto(last) => {
                let (bytes, upto) = catch_ups.get(log, members, from, last, limit);
                (bytes, upto, last)
            }
        };
        self.sent = upto.pos;
        if upto.pos < last.pos {
            self.at = upto;
            Some(Followed::Part(bytes))
        } else {
            self.at = head;
            Some(Followed::All(bytes))
        }
    }

    /// Puts what is due into the batch, as much as fits. Leaves it empty where nothing is due.
    pub(crate) fn take(&mut self, log: &Log, policy: &Policy, now: Instant, batch: &mut Batch) {
        let mut more = self.more.take().unwrap_or_default();
        if more.arrive(self, log, now, batch) {
            self.take_on(&mut more, log, policy, batch);
        }
        if !more.is_idle_at(self.at.pos, policy) || more.opening.is_some() {
            self.more = Some(more);
        }
    }

    fn take_on(&mut self, more: &mut More, log: &Log, policy: &Policy, batch: &mut Batch) {
        let resumed = match more.opening.take() {
            Some(Opening::Lost(reason, after)) => {
                self.restart(more, log, policy, reason, after, batch);
                false
            }
            Some(Opening::Fresh) => {
                self.take_values(more, log, 0);
                false
            }
            Some(Opening::Resumed { owes_values }) => {
                if owes_values {
                    self.take_values(more, log, 0);
                }
                true
            }
            Some(Opening::Ahead(..)) | None => false,
        };
        if let Some(loss) = log.loss(self.members(), self.at.pos, more.told, &more.owed) {
            self.tell(more, log, policy, resumed, &loss, batch);
        }
        if !more.ended {
            self.give(more, log, policy, batch);
        }
        more.owed.clear();
        if self.at.pos < more.told {
            // What lies in front of its joining is not owed.
            let kept = |member: &Member| {
                (member.key, log.count(member.key, self.at.pos.max(member.since), more.told))
            };
            let owed: Vec<_> = self.members().iter().map(kept).collect();
            more.owed = owed;
        }
        if more.ended {
            batch.end();
        }
    }

    /// The events between the cursor and the head.
    fn give(&mut self, more: &mut More, log: &Log, policy: &Policy, batch: &mut Batch) {
        while let Some(value) = more.values.pop() {
            // One that is gone was superseded, and what superseded it comes in its turn, or it left with the
            // hub's limits.
            let Some(frame) = log.value(value) else {
                continue;
            };
            let frame = frame.with_id(self.client_id(more));
            if !batch.fits(frame.len()) {
                more.values.push(value);
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
            if more.until.is_some_and(|until| kept.at.pos > until) {
                break;
            }
            if !batch.fits(kept.frame.len()) || looks == LOOK_AT_ONCE {
                batch.fill();
                return;
            }
            let past = kept.at.pos <= more.replay.upto;
            if past && more.replay.events > 0 && more.replay.is_over(policy, kept.frame.len()) {
                more.ended = true;
                return;
            }
            if past {
                more.replay.events += 1;
                more.replay.bytes += kept.frame.len();
            }
            self.at = kept.at;
            self.sent = kept.at.pos;
            batch.note(|| log.topics_at(kept.at.pos));
            batch.push(kept.frame.as_bytes().clone());
            if batch.is_full() {
                return;
            }
        }
        match more.until {
            Some(_) => more.ended = true,
            None => self.at = log.head(),
        }
    }

    /// Begins anew where the client's position means nothing.
    fn restart(
        &mut self,
        more: &mut More,
        log: &Log,
        policy: &Policy,
        reason: Reason,
        after: Option<EventId>,
        batch: &mut Batch,
    ) {
        // What a log that was born empty holds is all new to a client of an earlier life.
        let anew = reason == Reason::Restarted && log.born_empty() && policy.on_gap == OnGap::Continue;
        let topics = log.names(self.members());
        self.at = if anew { log.epoch_start() } else { log.head() };
        let mut upto = self.at;
        if anew && let Some(loss) = log.loss(self.members(), self.at.pos, 0, &[]) {
            upto = loss.upto;
            if !log.keeps(self.members(), self.at.pos, upto.pos) {
                self.at = upto;
            }
        }
        more.told = upto.pos.max(self.at.pos);
        if !anew {
            self.take_values(more, log, 0);
        }
        self.push_gap(more, reason, after, upto.id, &topics, batch);
        more.ended = policy.on_gap == OnGap::Close;
    }

    /// Tells of a loss behind a position that is known.
    fn tell(
        &mut self,
        more: &mut More,
        log: &Log,
        policy: &Policy,
        resumed: bool,
        loss: &Loss,
        batch: &mut Batch,
    ) {
        let reason = if log.last_seam > self.at.pos {
            Reason::Restarted
        } else if resumed || log.last_hole > self.at.pos {
            Reason::Trimmed
        } else {
            Reason::Lagged
        };
        let Mark { pos: from, id: after } = self.at;
        if policy.on_gap != OnGap::Continue {
            self.at = log.head();
            self.take_values(more, log, from);
        } else if !log.keeps(self.members(), self.at.pos, loss.upto.pos) {
            self.at = loss.upto;
        }
        // What is lost of the owed lies in front of `told`, and the rest of that is not told again.
        more.told = more.told.max(loss.upto.pos).max(self.at.pos);
        self.push_gap(more, reason, Some(after), loss.upto.id, &loss.topics, batch);
        more.ended = policy.on_gap == OnGap::Close;
    }

    /// An event that says what is missing. Its id never skips what is still to be sent.
    fn push_gap(
        &mut self,
        more: &More,
        reason: Reason,
        after: Option<EventId>,
        upto: EventId,
        topics: &[Topic],
        batch: &mut Batch,
    ) {
        let gap = Gap { reason, after, upto, topics: topics.iter().map(Topic::as_str).collect() };
        let data = serde_json::to_string(&gap).unwrap_or_else(|_| "{}".to_owned());
        let id = self.client_id(more);
        batch.note(|| topics.to_vec());
        batch.force(self.own("sse-gap", data, id).into_bytes());
    }

    /// The present values of *latest value* topics have to go out, out of order: those behind `from`, in front of
    /// which the client has them, and those that had to already.
    fn take_values(&self, more: &mut More, log: &Log, from: Pos) {
        let pending = std::mem::take(&mut more.values);
        let mut values = log.values(self.members(), self.at.pos);
        // By position: the same value may stand under another of its topics now.
        let is_pending = |pos| pending.iter().any(|pending| pending.0 == pos);
        values.retain(|&(pos, _)| pos > from || is_pending(pos));
        values.reverse();
        more.values = values;
    }

    /// The position as the client is given it.
    fn client_id(&self, more: &More) -> ClientId {
        ClientId { id: self.at.id, owes_values: !more.values.is_empty() }
    }

    fn own(&mut self, name: &'static str, data: String, id: ClientId) -> Frame {
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
        let id = self.more.as_ref().map_or_else(|| self.at.id.into(), |more| self.client_id(more));
        due.then(|| self.own("sse-position", "{}".to_owned(), id))
    }
}

impl More {
    /// Whether a cursor that stands at `pos` could do without, but for how it opens.
    fn is_idle_at(&self, pos: Pos, policy: &Policy) -> bool {
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
    fn arrive(&mut self, cursor: &mut Cursor, log: &Log, now: Instant, batch: &mut Batch) -> bool {
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
    fn is_over(&self, policy: &Policy, next: usize) -> bool {
        policy.replay.forbids(self.events, self.bytes, next)
    }
}
