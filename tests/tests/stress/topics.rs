//! The topics as bits of a word, and what a client is owed of them.

use std::mem;

use rand::{RngExt, rngs::StdRng};

/// How many there are.
pub(crate) const TOPICS: usize = 40;

/// Those of which only the latest value counts, on a hub that has such: the last eight.
pub(crate) const VALUES: TopicSet = 0xff << 32;

/// Topics by number.
pub(crate) type TopicSet = u64;

/// The topic's name on the wire.
pub(crate) fn name(topic: usize) -> String {
    let kind = if VALUES >> topic & 1 == 1 { "value" } else { "topic" };
    format!("{kind}/{topic}")
}

/// The topic of this name.
pub(crate) fn number(name: &str) -> Option<usize> {
    let topic = name.split_once('/')?.1.parse().ok()?;
    (topic < TOPICS && self::name(topic) == name).then_some(topic)
}

/// The topics of a set.
pub(crate) fn iter(set: TopicSet) -> impl Iterator<Item = usize> {
    (0..TOPICS).filter(move |topic| set >> topic & 1 == 1)
}

pub(crate) fn names(set: TopicSet) -> Vec<String> {
    iter(set).map(name).collect()
}

/// So many different ones.
pub(crate) fn some(rng: &mut StdRng, count: usize) -> TopicSet {
    let mut set: TopicSet = 0;
    while set.count_ones() < count as u32 {
        set |= 1 << rng.random_range(0..TOPICS);
    }
    set
}

/// Which events of which topics concern a connection. Where a moment is known only roughly there are two bounds.
#[derive(Clone, Debug)]
pub(crate) struct Interest {
    pub(crate) topics: TopicSet,
    /// Those that have begun with the connection, as long as it has not said where.
    vague: TopicSet,
    /// What lies up to here must not come.
    lower: [u64; TOPICS],
    /// What lies behind must.
    upper: [u64; TOPICS],
    /// A latest value behind this must.
    values: [u64; TOPICS],
}

impl Default for Interest {
    fn default() -> Self {
        Self { topics: 0, vague: 0, lower: [0; TOPICS], upper: [0; TOPICS], values: [0; TOPICS] }
    }
}

impl Interest {
    /// A connection that begins behind an event.
    pub(crate) fn resume(&mut self, topics: TopicSet, at: u64) {
        for topic in iter(topics) {
            // Who had the topic before is still owed its value: it may have been cut before that came.
            if self.topics >> topic & 1 == 0 {
                self.values[topic] = at;
            }
            (self.lower[topic], self.upper[topic]) = (at, at);
        }
        (self.topics, self.vague) = (topics, 0);
    }

    /// A connection that begins somewhere between these.
    pub(crate) fn begin(&mut self, topics: TopicSet, lower: u64, upper: u64) {
        *self = Self {
            topics,
            vague: topics,
            lower: [lower; TOPICS],
            upper: [upper; TOPICS],
            values: [0; TOPICS],
        };
    }

    /// It begins no later than this.
    pub(crate) fn began(&mut self, at: u64) {
        for topic in iter(mem::take(&mut self.vague)) {
            self.upper[topic] = at.min(self.upper[topic]);
        }
    }

    pub(crate) fn add(&mut self, topics: TopicSet, lower: u64, upper: u64) {
        for topic in iter(topics & !self.topics) {
            (self.lower[topic], self.upper[topic], self.values[topic]) = (lower, upper, upper);
        }
        self.topics |= topics;
    }

    pub(crate) fn remove(&mut self, topics: TopicSet) {
        self.topics &= !topics;
        self.vague &= !topics;
    }

    /// Because of which of its topics an event must come.
    pub(crate) fn owed(&self, topics: TopicSet, seq: u64) -> TopicSet {
        iter(topics & self.topics)
            .filter(|topic| seq > self.upper[*topic])
            .fold(0, |set, topic| set | 1 << topic)
    }

    /// Because of which of its topics it may.
    pub(crate) fn allowed(&self, topics: TopicSet, seq: u64) -> TopicSet {
        iter(topics & self.topics)
            .filter(|topic| seq > self.lower[*topic])
            .fold(0, |set, topic| set | 1 << topic)
    }

    /// Where the topic may have begun.
    pub(crate) fn lower(&self, topic: usize) -> u64 {
        self.lower[topic]
    }

    /// Whether a latest value must come.
    pub(crate) fn owes_value(&self, topic: usize, seq: u64) -> bool {
        seq > self.values[topic]
    }
}
