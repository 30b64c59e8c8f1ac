//! [`Log`]: one ordered, bounded log of frames with an index by topic, and the [`Cursor`] of each of its readers.
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

mod backlog;
mod catch_up;
mod cursor;
mod fed;
mod gap;
mod limits;
mod look;
mod members;
mod merged;
#[cfg(test)]
mod model;
mod opening;
mod policy;
mod start;
mod telling;
mod topics;

use std::{collections::VecDeque, mem, time::Instant};

use self::topics::{Kept, TopicTable};
pub(crate) use self::{
    catch_up::CatchUps,
    cursor::{Cursor, Followed, Given},
    limits::Limits,
    look::{Behind, Member},
    policy::{Policy, ReplayCap},
    start::Position,
    topics::TopicKey,
};
pub use self::{
    policy::{OnGap, OnLag},
    start::Start,
};
use crate::{frame::Frame, id::EventId, topic::Topic};

/// A local position. Everything up to it is behind a cursor that stands on it.
pub(crate) type Pos = u64;

/// How many epochs are remembered.
const SEGMENTS: usize = 8;

/// Of how many more it is known what was taken back of each: a client that reads nothing may stand there.
const TAKEN_BACK: usize = 64;

/// And of how many more that they have ended: what comes of them again is nothing new.
const LEFT: usize = 1024;

/// What once held a crowd is made smaller, but not below this.
const SMALL: usize = 1024;

/// A position and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) pos: Pos,
    pub(crate) id: EventId,
}

#[derive(Debug)]
pub(crate) struct Log {
    limits: Limits,
    /// Whether an engine fills it, so that an id ahead of the head may be another node's.
    fed: bool,
    /// Whether nothing of the present epoch lies in front of what it was given.
    has_epoch_start: bool,
    /// Whether its engine does not answer.
    away: bool,
    /// Where its engine stood when it was last asked, and when that was.
    engine: Option<(EventId, Instant)>,
    head: Mark,
    /// Everything up to here is dead.
    horizon: Pos,
    /// Whether something dead is still there.
    has_dead: bool,
    last_hole: Pos,
    last_seam: Pos,
    /// The later of both.
    last_break: Mark,
    /// Where epochs begin, the present one last.
    segments: VecDeque<Segment>,
    /// Of epochs that are forgotten: what lies behind such a position, and in front of this seam, was taken back.
    taken_back: VecDeque<(Pos, Mark)>,
    /// Epochs of which no more is known than that they have ended.
    left: VecDeque<u64>,
    /// All events by position; `None` where one left before its turn.
    order: VecDeque<Slot>,
    live: usize,
    bytes: usize,
    /// When the oldest of them that is not dead will be too old.
    expires: Option<Instant>,
    /// What was taken out, to be dropped where nobody waits.
    freed: Freed,
    topics: TopicTable,
}

/// An epoch of the log.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start: Mark,
    /// The sequence up to which it is intact, once it has ended, and the last position that this is.
    kept: Option<(u64, Pos)>,
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

/// Frames that have left the log: most often one.
#[derive(Debug, Default)]
pub(crate) struct Freed {
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

impl Log {
    /// A log whose first event will lie behind `start`.
    ///
    /// `has_epoch_start` tells whether there was none of its epoch before; `fed`, whether an engine fills it.
    pub(crate) fn new(limits: Limits, start: EventId, fed: bool, has_epoch_start: bool) -> Self {
        // Not 0: an id from before the start must have a place in front of it.
        let start = Mark { pos: 1, id: start };
        Self {
            topics: TopicTable::new(start, limits.idle_topics),
            limits,
            fed,
            has_epoch_start,
            away: false,
            engine: None,
            head: start,
            horizon: 0,
            has_dead: false,
            last_hole: 0,
            last_seam: 0,
            last_break: Mark { pos: 0, id: start.id },
            segments: VecDeque::from([Segment { start, kept: None }]),
            taken_back: VecDeque::new(),
            left: VecDeque::new(),
            order: VecDeque::new(),
            live: 0,
            bytes: 0,
            expires: None,
            freed: Freed::default(),
        }
    }

    pub(crate) fn head(&self) -> Mark {
        self.head
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn fed(&self) -> bool {
        self.fed
    }

    /// Whether all there ever was of the present epoch came here: to a client of another one, that is all new.
    pub(crate) fn has_epoch_start(&self) -> bool {
        self.has_epoch_start
    }

    pub(crate) fn events(&self) -> usize {
        self.live
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn topics(&self) -> usize {
        self.topics.len()
    }

    /// Whether this is an epoch that has ended here. It does not come back.
    pub(crate) fn has_left(&self, epoch: u64) -> bool {
        epoch != self.head.id.epoch
            && (self.segments.iter().any(|segment| segment.start.id.epoch == epoch)
                || self.left.contains(&epoch))
    }

    /// The position before all that is kept, of whatever epoch.
    pub(crate) fn start(&self) -> Mark {
        self.segments.front().map_or(self.head, |segment| segment.start)
    }

    /// The position before the first event of the present epoch.
    pub(crate) fn epoch_start(&self) -> Mark {
        self.segments.back().map_or(self.head, |segment| segment.start)
    }

    /// The oldest position that is still kept, or the head where nothing is.
    pub(crate) fn oldest(&self) -> Pos {
        self.order.get(self.dead()).map_or(self.head.pos, |slot| slot.at.pos)
    }

    /// When the oldest came that is still kept.
    pub(crate) fn oldest_since(&self) -> Option<Instant> {
        self.order.iter().skip(self.dead()).find(|slot| slot.entry.is_some()).map(|slot| slot.since)
    }

    /// The last position at which a topic's subscribers had to look.
    pub(crate) fn news(&self, key: TopicKey) -> Pos {
        self.topics.get(key).map_or(0, |topic| topic.news)
    }

    /// The id that the next event gets where the log itself gives them.
    pub(crate) fn next_id(&self) -> EventId {
        EventId { seq: self.head.id.seq + 1, ..self.head.id }
    }

    /// Adds an event. Returns its topics' keys; the caller wakes them.
    pub(crate) fn append<'a>(
        &mut self,
        id: EventId,
        topics: impl Iterator<Item = &'a Topic>,
        latest: impl Fn(&Topic) -> bool,
        frame: &Frame,
        now: Instant,
    ) -> Box<[TopicKey]> {
        self.head = Mark { pos: self.head.pos + 1, id };
        let at = self.head;
        let keys: Box<[TopicKey]> = topics.map(|name| self.topics.touch(name, &latest)).collect();
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

    /// All topics that are known.
    pub(crate) fn keys(&self) -> impl Iterator<Item = TopicKey> + '_ {
        self.topics.keys()
    }

    /// Drops what is over a cap, from the oldest. What is too old is dead from here on, and some of it is freed: a
    /// million events that expire at once are nobody's to wait for.
    pub(crate) fn trim(&mut self, now: Instant) {
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
        let dead = self.dead();
        self.has_dead = dead > 0;
        let oldest = self.order.get(dead);
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
    pub(crate) fn take_freed(&mut self) -> Freed {
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
            self.topics.rest(key);
        }
        if let Some(kept) = freed {
            self.freed.push(kept.frame);
        }
    }

    /// Takes up a subscription's interest in a topic.
    pub(crate) fn join(&mut self, name: &Topic, latest: impl Fn(&Topic) -> bool) -> TopicKey {
        self.topics.join(name, latest)
    }

    /// Ends a subscription's interest in a topic.
    pub(crate) fn leave(&mut self, key: TopicKey) {
        self.topics.leave(key);
    }

    /// The key of a topic that is known.
    pub(crate) fn key(&self, name: &Topic) -> Option<TopicKey> {
        self.topics.key(name)
    }
}
