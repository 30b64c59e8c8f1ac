//! [`Log`]: one ordered, bounded log of frames with an index by topic.
//!
//! Plain data: no lock, no clock, no task. What it must hold:
//!
//! - Positions are local, dense and only grow: each event, hole and seam takes the next one. An [`EventId`] is
//!   an attribute of a position; two of them are compared only within one epoch.
//! - Every topic remembers the last position that was lost from it, its *mark*. A subscriber at position `p`
//!   has lost something exactly when a mark of its topics lies behind `p`.
//! - What has expired, or is over a cap, counts as lost at once, but is freed a few events at a time: everything
//!   up to the *horizon* is dead, whether or not it is still there.
//! - A topic that somebody subscribes to keeps its mark. Topics that nobody uses are forgotten when there are
//!   too many, those with the oldest marks first; their marks fold into the *floor*, where a topic starts that
//!   comes into being.

use std::{
    collections::{BTreeSet, BinaryHeap, HashMap, VecDeque},
    mem,
    time::{Duration, Instant},
};

use slab::Slab;

use super::merged::{Due, Part};
use crate::{frame::Frame, id::EventId, topic::Topic};

/// A local position. Everything up to it is behind a cursor that stands on it.
pub(super) type Pos = u64;

/// A topic's place in this log.
pub(super) type TopicKey = usize;

/// How many epochs are remembered.
const SEGMENTS: usize = 8;

/// Maps that once held a crowd of topics are made smaller, but not below this.
const SMALL: usize = 1024;

/// A position and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) pos: Pos,
    pub(super) id: EventId,
}

/// What the log keeps at the most.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
    pub(super) per_topic: Option<usize>,
    /// Topics that are remembered although they have neither events nor subscribers.
    pub(super) idle_topics: usize,
    /// How many expired events are freed at a time.
    pub(super) frees: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: 10_000,
            bytes: 16 << 20,
            age: Duration::from_secs(3600),
            per_topic: None,
            idle_topics: 10_000,
            frees: 256,
        }
    }
}

#[derive(Debug)]
pub(super) struct Log {
    limits: Limits,
    /// Whether an engine fills it, so that an id ahead of the head may be another node's.
    fed: bool,
    /// Whether it began without the events of an earlier life.
    born_empty: bool,
    /// Where its engine stood when it was last asked, and when that was.
    engine: Option<(EventId, Instant)>,
    head: Mark,
    floor: Mark,
    /// Everything up to here is dead.
    horizon: Pos,
    last_hole: Pos,
    last_seam: Pos,
    /// Where epochs begin, the present one last.
    segments: VecDeque<Mark>,
    /// All events by position; `None` where one left before its turn.
    order: VecDeque<Slot>,
    live: usize,
    bytes: usize,
    /// When the oldest of them that is not dead will be too old.
    expires: Option<Instant>,
    /// What was taken out, to be dropped where nobody waits.
    freed: Freed,
    // Boxed: a slab keeps the room of its largest crowd as long as one topic of it lives.
    topics: Slab<Box<TopicLog>>,
    names: HashMap<Topic, TopicKey>,
    /// With so few topics left, their maps are made smaller.
    shrinks_at: usize,
    /// Topics without events and subscribers, by mark.
    idle: BTreeSet<(Pos, TopicKey)>,
}

#[derive(Debug)]
struct Slot {
    at: Mark,
    since: Instant,
    entry: Option<Entry>,
}

#[derive(Debug)]
struct Entry {
    topics: Box<[TopicKey]>,
    bytes: usize,
    /// In how many of its topics it is among the last N.
    within: usize,
}

#[derive(Debug)]
struct TopicLog {
    name: Topic,
    kept: VecDeque<Kept>,
    mark: Mark,
    /// The last position at which this topic's subscribers had to look.
    news: Pos,
    subscribers: usize,
    latest: bool,
}

/// One event in a topic's index.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) at: Mark,
    pub(super) frame: Frame,
}

/// Frames that have left the log: most often one.
#[derive(Debug, Default)]
pub(super) struct Freed {
    one: Option<Frame>,
    more: Vec<Frame>,
}

impl Freed {
    fn push(&mut self, frame: Frame) {
        match &self.one {
            None => self.one = Some(frame),
            Some(_) => self.more.push(frame),
        }
    }
}

/// One topic of a subscription, and the position from which on it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) key: TopicKey,
    pub(super) since: Pos,
}

/// Where a client's id stands in this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Right behind this position.
    At(Pos),
    /// In this epoch, behind the head.
    Ahead,
    /// In an epoch that is not known here.
    Elsewhere,
}

/// What a subscriber has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) upto: Mark,
    pub(super) topics: Vec<Topic>,
}

impl Log {
    /// A log whose first event will lie behind `start`.
    pub(super) fn new(limits: Limits, start: EventId, fed: bool, born_empty: bool) -> Self {
        // Not 0: an id from before the start must have a place in front of it.
        let start = Mark { pos: 1, id: start };
        Self {
            limits,
            fed,
            born_empty,
            engine: None,
            head: start,
            floor: start,
            horizon: 0,
            last_hole: 0,
            last_seam: 0,
            segments: VecDeque::from([start]),
            order: VecDeque::new(),
            live: 0,
            bytes: 0,
            expires: None,
            freed: Freed::default(),
            topics: Slab::new(),
            names: HashMap::new(),
            shrinks_at: SMALL,
            idle: BTreeSet::new(),
        }
    }

    pub(super) fn head(&self) -> Mark {
        self.head
    }

    pub(super) fn fed(&self) -> bool {
        self.fed
    }

    pub(super) fn born_empty(&self) -> bool {
        self.born_empty
    }

    pub(super) fn events(&self) -> usize {
        self.live
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn topics(&self) -> usize {
        self.topics.len()
    }

    /// The position before the first event of the present epoch.
    pub(super) fn epoch_start(&self) -> Mark {
        self.segments.back().copied().unwrap_or(self.head)
    }

    /// The oldest position that is still kept, or the head where nothing is.
    pub(super) fn oldest(&self) -> Pos {
        self.order.get(self.dead()).map_or(self.head.pos, |slot| slot.at.pos)
    }

    /// Whether this id, which is ahead of the head, is known not to be the engine's: it was asked after `since`,
    /// when the client had come with it.
    pub(super) fn denies(&self, id: EventId, since: Instant) -> bool {
        self.engine.is_some_and(|(head, at)| at > since && head.epoch == id.epoch && head.seq < id.seq)
    }

    /// What the engine's newest event was at this moment.
    #[cfg_attr(not(test), expect(dead_code, reason = "only an engine can be ahead of a log"))]
    pub(super) fn engine_stood(&mut self, head: EventId, at: Instant) {
        self.engine = Some((head, at));
    }

    /// The last position at which a topic's subscribers had to look.
    pub(super) fn news(&self, key: TopicKey) -> Pos {
        self.topics.get(key).map_or(0, |topic| topic.news)
    }

    /// The id that the next event gets where the log itself gives them.
    pub(super) fn next_id(&self) -> EventId {
        EventId { seq: self.head.id.seq + 1, ..self.head.id }
    }

    /// Adds an event. Returns its topics' keys; the caller wakes them.
    pub(super) fn append<'a>(
        &mut self,
        id: EventId,
        topics: impl Iterator<Item = &'a Topic>,
        latest: impl Fn(&Topic) -> bool,
        frame: &Frame,
        now: Instant,
    ) -> Box<[TopicKey]> {
        self.head = Mark { pos: self.head.pos + 1, id };
        let at = self.head;
        let keys: Box<[TopicKey]> = topics.map(|name| self.touch(name, &latest)).collect();
        let entry = Entry { topics: keys.clone(), bytes: frame.len(), within: keys.len() };
        // They expire in their order.
        let since = self.order.back().map_or(now, |last| last.since.max(now));
        self.order.push_back(Slot { at, since, entry: Some(entry) });
        self.live += 1;
        self.bytes += frame.len();
        for &key in &keys {
            let topic = &mut self.topics[key];
            topic.news = at.pos;
            if topic.kept.capacity() == 0 {
                // Many a topic never has more than one.
                topic.kept.reserve_exact(1);
            }
            topic.kept.push_back(Kept { at, frame: frame.clone() });
        }
        for &key in &keys {
            self.advance_window(key);
        }
        self.trim(now);
        keys
    }

    /// Something up to this id was lost before it came here. Marks every topic; the caller wakes everyone.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "only an engine can lose or restart a log that is open")
    )]
    pub(super) fn hole(&mut self, upto: EventId) {
        let id =
            if upto.epoch == self.head.id.epoch && upto.seq > self.head.id.seq { upto } else { self.head.id };
        self.mark_all(id);
        self.last_hole = self.head.pos;
    }

    /// A new epoch begins. Marks every topic; the caller wakes everyone.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "only an engine can lose or restart a log that is open")
    )]
    pub(super) fn seam(&mut self, start: EventId) {
        self.mark_all(start);
        self.last_seam = self.head.pos;
        self.segments.push_back(self.head);
        if self.segments.len() > SEGMENTS {
            self.segments.pop_front();
        }
    }

    fn mark_all(&mut self, id: EventId) {
        self.head = Mark { pos: self.head.pos + 1, id };
        self.floor = self.head;
        for (_, topic) in &mut self.topics {
            topic.mark = self.head;
            topic.news = self.head.pos;
        }
        for (_, key) in std::mem::take(&mut self.idle) {
            self.forget(key);
        }
    }

    /// Drops what is over a cap, from the oldest. What is too old is dead from here on, and some of it is freed: a
    /// million events that expire at once are nobody's to wait for.
    pub(super) fn trim(&mut self, now: Instant) {
        if self.expires.is_some_and(|expires| expires <= now) {
            let age = self.limits.age;
            let dead = |slot: &Slot| now.saturating_duration_since(slot.since) >= age;
            let dead = self.order.partition_point(dead);
            if let Some(last) = dead.checked_sub(1).and_then(|last| self.order.get(last)) {
                self.horizon = self.horizon.max(last.at.pos);
            }
        }
        let mut frees = self.limits.frees;
        while let Some(slot) = self.order.front() {
            if slot.entry.is_some() {
                let over = self.live > self.limits.events.max(1)
                    || (self.bytes > self.limits.bytes && self.live > 1);
                if !over {
                    if slot.at.pos > self.horizon || frees == 0 {
                        break;
                    }
                    frees -= 1;
                }
                self.remove(0);
            }
            self.order.pop_front();
        }
        if self.order.len() > 2 * self.live + 64 {
            self.order.retain(|slot| slot.entry.is_some());
        }
        if self.order.capacity() / 4 > SMALL.max(self.order.len()) {
            self.order.shrink_to(2 * self.order.len());
        }
        let oldest = self.order.get(self.dead());
        self.expires = oldest.and_then(|slot| slot.since.checked_add(self.limits.age));
    }

    /// How many of the events, from the oldest, are dead.
    fn dead(&self) -> usize {
        match self.order.front() {
            Some(first) if first.at.pos <= self.horizon => {
                self.order.partition_point(|slot| slot.at.pos <= self.horizon)
            }
            _ => 0,
        }
    }

    /// What has been taken out since it was last asked, to be dropped without the lock.
    pub(super) fn take_freed(&mut self) -> Freed {
        mem::take(&mut self.freed)
    }

    /// A topic got an event, so exactly one has ceased to be among its last N. It goes when that is so in all
    /// of its topics.
    fn advance_window(&mut self, key: TopicKey) {
        let topic = &self.topics[key];
        let cap = if topic.latest { Some(1) } else { self.limits.per_topic };
        let Some(left) = cap.and_then(|cap| topic.kept.len().checked_sub(cap + 1)) else {
            return;
        };
        let pos = topic.kept[left].at.pos;
        let index = self.order.partition_point(|slot| slot.at.pos < pos);
        let Some(entry) = self.order.get_mut(index).and_then(|slot| slot.entry.as_mut()) else {
            return;
        };
        entry.within -= 1;
        if entry.within == 0 {
            self.remove(index);
        }
    }

    /// Takes an event out of all indexes at once and marks each.
    fn remove(&mut self, index: usize) {
        let slot = &mut self.order[index];
        let at = slot.at;
        let Some(entry) = slot.entry.take() else {
            return;
        };
        self.live -= 1;
        self.bytes -= entry.bytes;
        let mut freed = None;
        for &key in &entry.topics {
            let topic = &mut self.topics[key];
            let index = topic.kept.partition_point(|kept| kept.at.pos < at.pos);
            freed = topic.kept.remove(index);
            if topic.mark.pos < at.pos {
                topic.mark = at;
            }
            self.rest(key);
        }
        if let Some(kept) = freed {
            self.freed.push(kept.frame);
        }
    }

    /// The topic's key; a new topic starts at the floor.
    fn touch(&mut self, name: &Topic, latest: impl Fn(&Topic) -> bool) -> TopicKey {
        if let Some(&key) = self.names.get(name) {
            let topic = &self.topics[key];
            if topic.subscribers == 0 && topic.kept.is_empty() {
                self.idle.remove(&(topic.mark.pos, key));
            }
            return key;
        }
        let key = self.topics.insert(Box::new(TopicLog {
            name: name.clone(),
            kept: VecDeque::new(),
            mark: self.floor,
            news: self.floor.pos,
            subscribers: 0,
            latest: latest(name),
        }));
        self.names.insert(name.clone(), key);
        key
    }

    /// Lets go of a topic that has neither events nor subscribers.
    fn rest(&mut self, key: TopicKey) {
        let topic = &self.topics[key];
        if topic.subscribers > 0 || !topic.kept.is_empty() {
            return;
        }
        if topic.mark.pos <= self.floor.pos {
            self.forget(key);
            return;
        }
        self.idle.insert((topic.mark.pos, key));
        if self.idle.len() > self.limits.idle_topics
            && let Some((_, key)) = self.idle.pop_first()
        {
            self.floor = self.topics[key].mark;
            self.forget(key);
        }
    }

    fn forget(&mut self, key: TopicKey) {
        let topic = self.topics.remove(key);
        self.names.remove(&topic.name);
        let len = self.topics.len();
        if self.names.capacity() / 4 > SMALL.max(len) && len <= self.shrinks_at {
            // Not again before half of them have gone: where one of the last topics stays, the slab stays too.
            self.shrinks_at = len / 2;
            self.names.shrink_to(2 * len);
            self.topics.shrink_to_fit();
        } else {
            self.shrinks_at = self.shrinks_at.max(len / 4);
        }
    }

    /// The last event that a topic has lost: one that was taken out, or one that is dead.
    fn mark(&self, topic: &TopicLog) -> Mark {
        let dead = match topic.kept.front() {
            Some(first) if first.at.pos <= self.horizon => {
                topic.kept.partition_point(|kept| kept.at.pos <= self.horizon)
            }
            _ => return topic.mark,
        };
        let last = dead.checked_sub(1).and_then(|last| topic.kept.get(last));
        last.map(|kept| kept.at).filter(|at| at.pos > topic.mark.pos).unwrap_or(topic.mark)
    }

    /// Takes up a subscription's interest in a topic.
    pub(super) fn join(&mut self, name: &Topic, latest: impl Fn(&Topic) -> bool) -> TopicKey {
        let key = self.touch(name, latest);
        self.topics[key].subscribers += 1;
        key
    }

    /// The key of a topic that is known.
    pub(super) fn key(&self, name: &Topic) -> Option<TopicKey> {
        self.names.get(name).copied()
    }

    /// Ends a subscription's interest in a topic.
    pub(super) fn leave(&mut self, key: TopicKey) {
        self.topics[key].subscribers -= 1;
        self.rest(key);
    }

    /// Where a client's id stands, for a subscription to these topics.
    pub(super) fn place(&self, id: EventId, members: &[Member]) -> Place {
        if id.epoch == self.head.id.epoch {
            if id.seq > self.head.id.seq {
                return Place::Ahead;
            }
            if id.seq == self.head.id.seq {
                return Place::At(self.head.pos);
            }
        }
        let Some(segment) = self.segments.iter().rposition(|start| start.id.epoch == id.epoch) else {
            return Place::Elsewhere;
        };
        let start = self.segments[segment];
        if id.seq < start.id.seq {
            return Place::At(start.pos - 1);
        }
        let start = start.pos;
        let end = self.segments.get(segment + 1).map_or(Pos::MAX, |next| next.pos);
        let behind = self
            .order
            .partition_point(|slot| slot.at.pos < start || (slot.at.pos < end && slot.at.id.seq <= id.seq));
        let kept = behind.checked_sub(1).map_or(0, |index| self.order[index].at.pos);
        // What left the log before its neighbours is known by the marks alone.
        let marked = members
            .iter()
            .map(|member| self.mark(&self.topics[member.key]))
            .filter(|mark| mark.id.epoch == id.epoch && mark.id.seq <= id.seq)
            .map(|mark| mark.pos);
        Place::At(marked.fold(start.max(kept), Pos::max))
    }

    /// What a subscriber that stands at `from` has lost, beyond what it was told of up to `told`. *Latest value*
    /// topics lose nothing but by a hole or a seam, which may have taken their present value.
    ///
    /// Between `from` and `told` marks say nothing new: there it counts whether fewer events are kept of a topic
    /// than were `owed`.
    pub(super) fn loss(
        &self,
        members: &[Member],
        from: Pos,
        told: Pos,
        owed: &[(TopicKey, usize)],
    ) -> Option<Loss> {
        let known = from.max(told);
        let mut upto: Option<Mark> = None;
        let mut topics = Vec::new();
        for member in members {
            let topic = &self.topics[member.key];
            let mark = self.mark(topic);
            let mut owed = owed.iter().filter(|(key, _)| *key == member.key);
            let from = from.max(member.since);
            let known = known.max(member.since);
            let lost = if topic.latest {
                self.last_hole.max(self.last_seam) > known
            } else {
                mark.pos > known || owed.any(|&(key, count)| self.count(key, from, told) < count)
            };
            if lost {
                upto = upto.filter(|upto| upto.pos >= mark.pos).or(Some(mark));
                topics.push(topic.name.clone());
            }
        }
        Some(Loss { upto: upto?, topics })
    }

    /// How many events of a topic are kept behind `from` and not behind `upto`.
    pub(super) fn count(&self, key: TopicKey, from: Pos, upto: Pos) -> usize {
        let from = from.max(self.horizon);
        self.topics.get(key).map_or(0, |topic| {
            let before = topic.kept.partition_point(|kept| kept.at.pos <= from);
            topic.kept.partition_point(|kept| kept.at.pos <= upto).saturating_sub(before)
        })
    }

    pub(super) fn last_hole(&self) -> Pos {
        self.last_hole
    }

    pub(super) fn last_seam(&self) -> Pos {
        self.last_seam
    }

    /// The names of these topics.
    pub(super) fn names(&self, members: &[Member]) -> Vec<Topic> {
        members.iter().map(|member| self.topics[member.key].name.clone()).collect()
    }

    /// Whether something of these topics is kept in front of or at `upto`, behind `from`.
    pub(super) fn keeps(&self, members: &[Member], from: Pos, upto: Pos) -> bool {
        self.due(members, from).next().is_some_and(|kept| kept.at.pos <= upto)
    }

    /// Whether nothing of these topics was lost behind `from`. Where it holds, [`loss`](Self::loss) finds none
    /// for a subscriber that stands there and was told of no loss ahead of it.
    pub(super) fn is_whole(&self, members: &[Member], from: Pos) -> bool {
        members.iter().all(|member| self.mark(&self.topics[member.key]).pos <= from.max(member.since))
    }

    /// The newest event of all, if it is this topic's and comes right behind `from`: then nothing lies between.
    #[inline]
    pub(super) fn next_and_newest(&self, member: Member, from: Pos) -> Option<&Kept> {
        if from + 1 != self.head.pos || member.since > from || from < self.horizon {
            return None;
        }
        self.topics[member.key].kept.back().filter(|kept| kept.at.pos == self.head.pos)
    }

    /// What lies behind `from` on these topics: most often nothing, or one event.
    pub(super) fn ahead(&self, members: &[Member], from: Pos) -> Ahead<'_> {
        let mut first: Option<&Kept> = None;
        let mut last: Option<&Kept> = None;
        for part in members.iter().filter_map(|member| self.part(member, from)) {
            first = first.into_iter().chain(part.first()).min_by_key(|kept| kept.at.pos);
            last = last.into_iter().chain(part.last()).max_by_key(|kept| kept.at.pos);
        }
        match (first, last) {
            (Some(first), Some(last)) if first.at.pos == last.at.pos => Ahead::One(last),
            (_, Some(last)) => Ahead::Upto(last.at),
            _ => Ahead::Nothing,
        }
    }

    /// Whether something will be too old by then.
    pub(super) fn expires_by(&self, then: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= then)
    }

    /// Whether something behind this position may be too old by then.
    #[inline]
    pub(super) fn expires_behind(&self, from: Pos, then: Instant) -> bool {
        if !self.expires_by(then) {
            return false;
        }
        // The oldest expires often, while a live subscriber cares for the newest alone.
        let oldest = self.order.front().map_or(0, |slot| slot.at.pos);
        let next = (from + 1).saturating_sub(oldest) as usize;
        let slot = match self.order.get(next) {
            Some(slot) if slot.at.pos <= from + 1 => Some(slot),
            _ => self.order.get(self.order.partition_point(|slot| slot.at.pos <= from)),
        };
        let expires = slot.and_then(|slot| slot.since.checked_add(self.limits.age));
        expires.is_some_and(|expires| expires <= then)
    }

    /// The events of these topics behind `from`, in order, each once.
    pub(super) fn due(&self, members: &[Member], from: Pos) -> Due<'_> {
        let mut parts = members.iter().filter_map(|member| self.part(member, from));
        match members {
            [_] => parts.next().map_or_else(|| Due::Many(BinaryHeap::new()), |part| Due::One(part.iter())),
            _ => Due::Many(parts.collect()),
        }
    }

    /// A topic's index from the first event on that is behind `from`.
    fn part(&self, member: &Member, from: Pos) -> Option<Part<'_>> {
        let kept = &self.topics[member.key].kept;
        let from = from.max(member.since).max(self.horizon);
        // Most often a subscriber has all but the last few.
        kept.back().filter(|last| last.at.pos > from)?;
        let next = match kept.len().checked_sub(2).and_then(|before| kept.get(before)) {
            Some(before) if before.at.pos > from => kept.partition_point(|kept| kept.at.pos <= from),
            _ => kept.len() - 1,
        };
        Part::new(kept, next)
    }

    /// Where the present values are of those of these topics that keep only the latest, none behind `upto`: in
    /// their order, each once. What lies in front of a hole or a seam may have been superseded there.
    pub(super) fn values(&self, members: &[Member], upto: Pos) -> Vec<(Pos, TopicKey)> {
        let from = self.horizon.max(self.last_hole).max(self.last_seam);
        let value = |member: &Member| {
            let topic = &self.topics[member.key];
            let kept = topic.kept.back().filter(|_| topic.latest)?;
            (kept.at.pos > from && kept.at.pos <= upto).then_some((kept.at.pos, member.key))
        };
        let mut values: Vec<_> = members.iter().filter_map(value).collect();
        values.sort_unstable();
        values.dedup_by_key(|&mut (pos, _)| pos);
        values
    }

    /// One of the [`values`](Self::values), if it is still kept.
    pub(super) fn value(&self, (pos, key): (Pos, TopicKey)) -> Option<&Frame> {
        let kept = &self.topics.get(key)?.kept;
        let kept = kept.get(kept.partition_point(|kept| kept.at.pos < pos))?;
        (kept.at.pos == pos && pos > self.horizon).then_some(&kept.frame)
    }
}

/// What lies behind a position.
pub(super) enum Ahead<'a> {
    Nothing,
    One(&'a Kept),
    /// Several, the last of them here.
    Upto(Mark),
}
