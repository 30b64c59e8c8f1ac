//! [`TopicTable`]: the topics of a log, each with its index of events, its mark, and whoever cares for it.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::{Index, IndexMut},
};

use slab::Slab;

use super::{Mark, Pos, SMALL};
use crate::{frame::Frame, topic::Topic};

/// A topic's place in this log.
pub(crate) type TopicKey = usize;

#[derive(Debug)]
pub(super) struct TopicTable {
    // Boxed: a slab keeps the room of its largest crowd as long as one topic of it lives.
    topics: Slab<Box<TopicLog>>,
    names: HashMap<Topic, TopicKey>,
    /// With so few topics left, their maps are made smaller.
    shrinks_at: usize,
    /// Topics without events and subscribers, by mark.
    idle: BTreeSet<(Pos, TopicKey)>,
    /// How many of these are remembered.
    idle_limit: usize,
    /// The mark of a topic that comes into being.
    floor: Mark,
}

#[derive(Debug)]
pub(super) struct TopicLog {
    pub(super) name: Topic,
    pub(super) kept: VecDeque<Kept>,
    /// The last event that was taken out of it.
    pub(super) mark: Mark,
    /// The last position at which this topic's subscribers had to look.
    pub(super) news: Pos,
    subscribers: usize,
    pub(super) latest: bool,
}

/// One event in a topic's index.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) at: Mark,
    pub(super) frame: Frame,
}

impl TopicLog {
    pub(super) fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// The last event that was lost of it: one that was taken out, or one that is dead.
    pub(super) fn lost(&self, horizon: Pos) -> Mark {
        let dead = match self.kept.front() {
            Some(first) if first.at.pos <= horizon => {
                self.kept.partition_point(|kept| kept.at.pos <= horizon)
            }
            _ => return self.mark,
        };
        let last = dead.checked_sub(1).and_then(|last| self.kept.get(last));
        last.map(|kept| kept.at).filter(|at| at.pos > self.mark.pos).unwrap_or(self.mark)
    }
}

impl TopicTable {
    pub(super) fn new(floor: Mark, idle_limit: usize) -> Self {
        Self {
            topics: Slab::new(),
            names: HashMap::new(),
            shrinks_at: SMALL,
            idle: BTreeSet::new(),
            idle_limit,
            floor,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    /// No topic has a key as high as this.
    pub(super) fn places(&self) -> usize {
        self.topics.capacity()
    }

    pub(super) fn get(&self, key: TopicKey) -> Option<&TopicLog> {
        self.topics.get(key).map(|topic| &**topic)
    }

    /// The key of a topic that is known.
    pub(super) fn key(&self, name: &Topic) -> Option<TopicKey> {
        self.names.get(name).copied()
    }

    /// The topic's key; a new topic starts at the floor.
    pub(super) fn touch(&mut self, name: &Topic, latest: impl Fn(&Topic) -> bool) -> TopicKey {
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
    pub(super) fn rest(&mut self, key: TopicKey) {
        let topic = &self.topics[key];
        if topic.subscribers > 0 || !topic.kept.is_empty() {
            return;
        }
        if topic.mark.pos <= self.floor.pos {
            self.forget(key);
            return;
        }
        self.idle.insert((topic.mark.pos, key));
        if self.idle.len() > self.idle_limit
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

    /// Takes up a subscription's interest in a topic.
    pub(super) fn join(&mut self, name: &Topic, latest: impl Fn(&Topic) -> bool) -> TopicKey {
        let key = self.touch(name, latest);
        self.topics[key].subscribers += 1;
        key
    }

    /// Ends a subscription's interest in a topic.
    pub(super) fn leave(&mut self, key: TopicKey) {
        self.topics[key].subscribers -= 1;
        self.rest(key);
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = TopicKey> + '_ {
        self.topics.iter().map(|(key, _)| key)
    }

    /// Subscribers of every topic have to look, though nothing of it was lost.
    pub(super) fn tell_all(&mut self, pos: Pos) {
        self.topics.iter_mut().for_each(|(_, topic)| topic.news = pos);
    }

    /// Something of every topic was lost here.
    pub(super) fn mark_all(&mut self, at: Mark) {
        self.floor = at;
        for (_, topic) in &mut self.topics {
            topic.mark = at;
            topic.news = at.pos;
        }
        for (_, key) in std::mem::take(&mut self.idle) {
            self.forget(key);
        }
    }
}

impl Index<TopicKey> for TopicTable {
    type Output = TopicLog;

    fn index(&self, key: TopicKey) -> &TopicLog {
        &self.topics[key]
    }
}

impl IndexMut<TopicKey> for TopicTable {
    fn index_mut(&mut self, key: TopicKey) -> &mut TopicLog {
        &mut self.topics[key]
    }
}
