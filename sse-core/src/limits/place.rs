//! [`Place`]: what one open stream takes of the limits.

use std::{collections::HashMap, fmt};

use super::{Limits, key::Key, over::Over};

/// One open stream's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    limits: Limits,
    subject: Option<Key>,
    address: Option<Key>,
    topics: Box<[Key]>,
}

impl Place {
    /// One among those of the server, of the subject, of the address and of each topic, or none at all.
    pub(super) fn take(
        limits: &Limits,
        subject: Option<Key>,
        address: Option<Key>,
        topics: Box<[Key]>,
    ) -> Result<Self, Over> {
        let caps = limits.0.caps;
        let mut guard = limits.0.lock();
        let counts = &mut *guard;
        let is_full = |open: usize, most: Option<usize>| most.is_some_and(|most| open >= most);
        if is_full(counts.streams, caps.streams) {
            return Err(Over::Streams);
        }
        if subject.is_some_and(|key| is_full(counts.subjects.of(key), caps.per_subject)) {
            return Err(Over::Subject);
        }
        if address.is_some_and(|key| is_full(counts.addresses.of(key), caps.per_address)) {
            return Err(Over::Address);
        }
        if topics.iter().any(|key| is_full(counts.topics.of(*key), caps.per_topic)) {
            return Err(Over::Topic);
        }
        counts.streams += 1;
        subject.into_iter().for_each(|key| counts.subjects.add(key));
        address.into_iter().for_each(|key| counts.addresses.add(key));
        topics.iter().for_each(|key| counts.topics.add(*key));
        drop(guard);
        Ok(Self { limits: limits.clone(), subject, address, topics })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.limits.0.lock();
        counts.streams -= 1;
        self.subject.into_iter().for_each(|key| counts.subjects.take(key));
        self.address.into_iter().for_each(|key| counts.addresses.take(key));
        self.topics.iter().for_each(|key| counts.topics.take(*key));
    }
}

/// The open streams, in all and by what has a cap.
#[derive(Default)]
pub(super) struct Counts {
    streams: usize,
    subjects: Tally,
    addresses: Tally,
    topics: Tally,
}

impl Counts {
    pub(super) fn streams(&self) -> usize {
        self.streams
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts")
            .field("streams", &self.streams)
            .field("subjects", &self.subjects.0.len())
            .field("addresses", &self.addresses.0.len())
            .field("topics", &self.topics.0.len())
            .finish()
    }
}

/// How many of each; what has none is not there.
#[derive(Default)]
struct Tally(HashMap<Key, usize>);

/// What once held a crowd is made smaller, but not below this.
const SMALL: usize = 1024;

impl Tally {
    fn of(&self, key: Key) -> usize {
        self.0.get(&key).copied().unwrap_or_default()
    }

    fn add(&mut self, key: Key) {
        *self.0.entry(key).or_default() += 1;
    }

    fn take(&mut self, key: Key) {
        let Some(count) = self.0.get_mut(&key) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.0.remove(&key);
        if self.0.capacity() / 4 > SMALL.max(self.0.len()) {
            self.0.shrink_to(2 * self.0.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Asker, *};

    #[test]
    fn a_crowd_of_places_leaves_nothing_behind() {
        const CROWD: usize = 100_000;
        let limits = Limits::builder().max_streams_per_subject(1).max_streams_per_topic(1).build();
        let enter = |n: usize| {
            let name = n.to_string();
            let asker = Asker { subject: Some(&name), address: None };
            limits.enter(asker, [name.as_str()].into_iter())
        };
        let places: Vec<_> = (0..CROWD).map(|n| enter(n).unwrap()).collect();
        assert_eq!(limits.streams(), CROWD);
        assert_eq!(enter(7).unwrap_err(), Over::Subject);
        drop(places);
        let counts = limits.0.lock();
        for tally in [&counts.subjects, &counts.addresses, &counts.topics] {
            assert!(tally.0.is_empty() && tally.0.capacity() < 8 * SMALL, "{}", tally.0.capacity());
        }
        assert_eq!(counts.streams, 0);
    }
}
