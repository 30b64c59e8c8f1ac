//! [`Open`]: what is open in the name of tokens, and how it is found.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::time::Instant;

use super::stamp::Stamp;
use crate::{
    lease::Signal,
    topic::{Topic, Topics},
};

/// How many are looked at in one go.
pub(super) const AT_A_TIME: usize = 512;

/// What can be ended, by number, and which numbers a subject, a token or a topic has.
#[derive(Default)]
pub(super) struct Open {
    streams: HashMap<u64, OpenStream>,
    index: BTreeSet<(u64, u64)>,
    pub(super) next: u64,
}

pub(super) struct OpenStream {
    pub(super) stamp: Arc<Stamp>,
    pub(super) topics: Option<Topics>,
    pub(super) signal: Arc<Signal>,
    /// When it was opened.
    pub(super) since: Instant,
}

impl OpenStream {
    pub(super) fn has_topic(&self, topic: &Topic) -> bool {
        self.topics.iter().flatten().any(|open| open == topic)
    }
}

impl Open {
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<OpenStream> {
        self.streams.remove(&number)
    }

    /// Forgets where a stream that was removed could be found.
    pub(super) fn forget(&mut self, number: u64, keys: impl Iterator<Item = u64>) {
        for key in keys {
            self.index.remove(&(key, number));
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.index.is_empty()
    }

    pub(super) fn insert(&mut self, open: OpenStream, keys: impl Iterator<Item = u64>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.streams.insert(number, open);
        self.index.extend(keys.map(|key| (key, number)));
        number
    }

    /// Some of those with this key, and where to go on. Two may share a key by chance: each is looked at.
    pub(super) fn some(
        &self,
        key: u64,
        numbers: std::ops::Range<u64>,
        which: impl Fn(&OpenStream) -> bool,
    ) -> (Vec<Arc<Signal>>, Option<u64>) {
        let found = self.index.range((key, numbers.start)..(key, numbers.end)).take(AT_A_TIME);
        let numbers: Vec<u64> = found.map(|(_, number)| *number).collect();
        let more = (numbers.len() == AT_A_TIME).then(|| numbers.last().map(|last| last + 1)).flatten();
        let open = numbers.iter().filter_map(|number| self.streams.get(number));
        (open.filter(|open| which(open)).map(|open| Arc::clone(&open.signal)).collect(), more)
    }
}
