//! [`Crowds`]: who is on which topic, and who has just left it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::time::Instant;

use super::news::Change;
use crate::topic::Topic;

/// So many may be waited for who have left a topic and may be back in a moment. Of more, those who left first are gone.
const MOST_AWAY: usize = 100_000;

#[derive(Default)]
pub(super) struct Crowds {
    topics: HashMap<Topic, Crowd>,
    /// Whom to give up, and when, by the numbers of their leaves: in that order, as all have the same grace.
    away: BTreeMap<u64, Away>,
    /// Numbers each time that somebody goes away, from 1.
    leaves: u64,
}

#[derive(Default)]
pub(super) struct Crowd {
    pub(super) people: BTreeMap<Arc<str>, Person>,
    pub(super) anonymous: usize,
}

#[derive(Default)]
pub(super) struct Person {
    streams: usize,
    /// Of one who is away, the number of that.
    away: u64,
}

struct Away {
    until: Instant,
    topic: Topic,
    who: Arc<str>,
}

impl Crowds {
    pub(super) fn get(&self, topic: &Topic) -> Option<&Crowd> {
        self.topics.get(topic)
    }

    /// How many topics somebody is on, and how many people are away.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.topics.len(), self.away.len())
    }

    /// A stream more. What is new in that.
    pub(super) fn comes(&mut self, topic: &Topic, who: Option<&Arc<str>>) -> Option<Change> {
        let crowd = self.topics.entry(topic.clone()).or_default();
        let Some(who) = who else {
            crowd.anonymous += 1;
            return None;
        };
        let is_new = !crowd.people.contains_key(who);
        let person = crowd.people.entry(Arc::clone(who)).or_default();
        person.streams += 1;
        // Whoever reloads again and again is away once at most.
        self.away.remove(&std::mem::take(&mut person.away));
        is_new.then(|| Change { topic: topic.clone(), who: Arc::clone(who), joins: true })
    }

    /// A stream less; of whoever had no other, it is seen until then whether they come back.
    pub(super) fn goes(&mut self, topic: &Topic, who: Option<&Arc<str>>, until: Instant) {
        let Some(crowd) = self.topics.get_mut(topic) else {
            return;
        };
        let Some(who) = who else {
            crowd.anonymous = crowd.anonymous.saturating_sub(1);
            self.forget(topic);
            return;
        };
        let Some(person) = crowd.people.get_mut(who).filter(|person| person.streams > 0) else {
            return;
        };
        person.streams -= 1;
        if person.streams == 0 {
            self.leaves += 1;
            person.away = self.leaves;
            self.away.insert(self.leaves, Away { until, topic: topic.clone(), who: Arc::clone(who) });
        }
    }

    /// When the next is given up.
    pub(super) fn next(&self) -> Option<Instant> {
        self.away.first_key_value().map(|(_, away)| away.until)
    }

    /// The next who was away for too long has left.
    pub(super) fn give_up(&mut self, now: Instant) -> Option<Change> {
        let first = self.away.first_entry()?;
        if first.get().until > now && self.away.len() <= MOST_AWAY {
            return None;
        }
        let Away { topic, who, .. } = self.away.pop_first()?.1;
        if let Some(crowd) = self.topics.get_mut(&topic) {
            crowd.people.remove(&who);
            self.forget(&topic);
        }
        Some(Change { topic, who, joins: false })
    }

    /// A topic that nobody is on takes no room.
    fn forget(&mut self, topic: &Topic) {
        if self.topics.get(topic).is_some_and(|crowd| crowd.people.is_empty() && crowd.anonymous == 0) {
            self.topics.remove(topic);
            if self.topics.capacity() / 4 > self.topics.len().max(1024) {
                self.topics.shrink_to(2 * self.topics.len());
            }
        }
    }
}
