//! What was really published: the oracle's own book, kept by the publishers and never read from the hub.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Instant,
};

use crate::{
    setup::Setup,
    topics::{TOPICS, TopicSet, VALUES, iter},
};

/// One event whose `publish` has returned.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// Its place in the hub's order: the id that `publish` returned.
    pub(crate) seq: u64,
    pub(crate) topics: TopicSet,
    /// Beside them it was on a topic of its own, which nobody else ever uses.
    pub(crate) alone: bool,
    pub(crate) fingerprint: u64,
    /// Encoded.
    pub(crate) bytes: usize,
    /// Of an event on a latest-value topic, which it also says in its data.
    pub(crate) number: Option<u64>,
    /// When the call began.
    pub(crate) before: Instant,
    /// When it had returned.
    pub(crate) after: Instant,
}

/// What an event says, in short.
pub(crate) fn fingerprint(name: &str, data: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, data).hash(&mut hasher);
    hasher.finish()
}

/// How many bytes the event takes on the wire, counted by the rules of the wire; `data` has LF alone.
pub(crate) fn encoded_len(name: &str, data: &str, id: &str) -> usize {
    let event = if name.is_empty() { 0 } else { "event: \n".len() + name.len() };
    let lines = 1 + data.bytes().filter(|byte| *byte == b'\n').count();
    event + lines * "data: ".len() + data.len() + "\n".len() + "id: \n\n".len() + id.len()
}

/// All of it, in order.
#[derive(Debug)]
pub(crate) struct Book {
    events: Vec<Published>,
    /// The encoded size of all up to each.
    bytes: Vec<usize>,
    /// The events of each topic.
    by_topic: Vec<Vec<u64>>,
    /// Those that say a number.
    by_number: std::collections::HashMap<u64, u64>,
}

impl Book {
    /// # Errors
    /// Ids that were given twice or not at all, or against the order of the calls.
    pub(crate) fn new(mut events: Vec<Published>) -> Result<Self, String> {
        events.sort_by_key(|event| event.seq);
        let mut latest_begin: Option<(Instant, u64)> = None;
        let mut bytes = vec![0];
        let mut by_topic = vec![Vec::new(); TOPICS];
        let mut by_number = std::collections::HashMap::new();
        for (index, event) in events.iter().enumerate() {
            if event.seq != index as u64 + 1 {
                return Err(format!("the ids are not 1, 2, 3, …: {} at {index}", event.seq));
            }
            if let Some((begin, seq)) = latest_begin.filter(|(begin, _)| *begin > event.after) {
                return Err(format!("{seq} began {:?} after {} was done", begin - event.after, event.seq));
            }
            latest_begin = latest_begin.max(Some((event.before, event.seq)));
            bytes.push(bytes[index] + event.bytes);
            iter(event.topics).for_each(|topic| by_topic[topic].push(event.seq));
            event.number.map(|number| by_number.insert(number, event.seq));
        }
        Ok(Self { events, bytes, by_topic, by_number })
    }

    pub(crate) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Published> {
        self.events.get(usize::try_from(seq).ok()?.checked_sub(1)?)
    }

    pub(crate) fn numbered(&self, number: u64) -> Option<&Published> {
        self.get(*self.by_number.get(&number)?)
    }

    /// The events behind one and up to another.
    pub(crate) fn between(&self, after: u64, upto: u64) -> &[Published] {
        let upto = upto.min(self.len()) as usize;
        &self.events[(after as usize).min(upto)..upto]
    }

    /// The events of a topic in between, the newest first.
    pub(crate) fn of_topic(&self, topic: usize, after: u64, upto: u64) -> impl Iterator<Item = &Published> {
        let all = &self.by_topic[topic];
        let begin = all.partition_point(|seq| *seq <= after);
        let end = all.partition_point(|seq| *seq <= upto).max(begin);
        all[begin..end].iter().rev().filter_map(|seq| self.get(*seq))
    }

    /// Whether the hub may have dropped this event by the time at which `head` was the newest.
    pub(crate) fn may_be_lost(&self, setup: &Setup, event: &Published, head: u64, now: Instant) -> bool {
        let (first, last) = (event.seq as usize, (head.min(self.len())) as usize);
        let later = last.saturating_sub(first);
        let over = later >= setup.events
            || (later > 0 && self.bytes[last] - self.bytes[first - 1] > setup.bytes)
            || setup.age.is_some_and(|age| now >= event.before + age);
        over || (!event.alone
            && iter(event.topics).all(|topic| self.is_superseded(setup, topic, event.seq, head)))
    }

    /// Whether a topic's own cap is reached by what came later.
    fn is_superseded(&self, setup: &Setup, topic: usize, seq: u64, head: u64) -> bool {
        let value = setup.latest && VALUES >> topic & 1 == 1;
        let cap = if value { Some(1) } else { setup.per_topic };
        let later = |upto| self.by_topic[topic].partition_point(|seq| *seq <= upto);
        cap.is_some_and(|cap| later(head).saturating_sub(later(seq)) >= cap)
    }
}
