//! When a client may say that it has everything. It says so to end a round; whether it is true is judged later.

use std::time::Instant;

use crate::{
    published::Book,
    record::Came,
    setup::Setup,
    topics::{Interest, TOPICS, TopicSet, iter},
};

/// The hub while nobody publishes.
#[derive(Debug)]
pub(crate) struct Quiet {
    pub(crate) head: u64,
    /// Of each topic the newest event.
    newest: [Option<Newest>; TOPICS],
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    seq: u64,
    number: Option<u64>,
    is_value: bool,
    /// From when on the hub need not have it any more.
    lost: Option<Instant>,
}

impl Quiet {
    pub(crate) fn new(setup: &Setup, book: &Book) -> Self {
        let head = book.len();
        let newest = std::array::from_fn(|topic| {
            let event = book.of_topic(topic, 0, head).next()?;
            let now = event.before;
            let lost = if book.may_be_lost(setup, event, head, now) {
                Some(now)
            } else {
                setup.age.map(|age| event.before + age)
            };
            let is_value = setup.values() >> topic & 1 == 1;
            Some(Newest { seq: event.seq, number: event.number, is_value, lost })
        });
        Self { head, newest }
    }
}

/// What a client has.
#[derive(Debug, Default)]
pub(crate) struct Have {
    pub(crate) interest: Interest,
    last: u64,
    /// Whether the connection has begun somewhere and has not said where.
    vague: bool,
    /// Up to where a gap has told of each topic.
    told: Told,
}

#[derive(Debug)]
struct Told {
    gaps: [u64; TOPICS],
    /// The newest value, by its number.
    values: [Option<u64>; TOPICS],
}

impl Default for Told {
    fn default() -> Self {
        Self { gaps: [0; TOPICS], values: [None; TOPICS] }
    }
}

impl Have {
    pub(crate) fn open(&mut self, came: &Came, topics: TopicSet, before: u64, after: u64) {
        self.vague = false;
        match came {
            Came::After { id, .. } => self.interest.resume(topics, *id),
            Came::Foreign(_) => self.interest.begin(topics, 0, 0),
            Came::New | Came::Unreadable(_) => {
                self.vague = true;
                self.interest.begin(topics, before, after);
            }
        }
    }

    pub(crate) fn id(&mut self, id: u64) {
        self.last = id;
        if std::mem::take(&mut self.vague) {
            self.interest.began(id);
        }
    }

    pub(crate) fn gap(&mut self, topics: TopicSet, upto: u64) {
        for topic in iter(topics) {
            self.told.gaps[topic] = self.told.gaps[topic].max(upto);
        }
    }

    pub(crate) fn value(&mut self, number: u64) {
        self.told.values[topic_of(number)] = Some(number);
    }

    /// Something that is owed and still to come, in words.
    pub(crate) fn lack(&self, quiet: &Quiet, topics: TopicSet) -> Option<String> {
        let now = Instant::now();
        iter(topics).find_map(|topic| {
            let newest = quiet.newest[topic]?;
            let has = if newest.is_value {
                !self.interest.owes_value(topic, newest.seq)
                    || self.told.values[topic] == newest.number
                    || newest.lost.is_some_and(|lost| lost <= now)
            } else {
                self.interest.owed(1 << topic, newest.seq) == 0
                    || self.last >= newest.seq
                    || self.told.gaps[topic] >= newest.seq
            };
            let what = if newest.is_value { "the latest value" } else { "an event" };
            (!has).then(|| format!("lacks {what}, {}, of {topic}", newest.seq))
        })
    }
}

/// An event's number tells on which latest-value topic it was.
pub(crate) fn topic_of(number: u64) -> usize {
    (number % 64) as usize % TOPICS
}
