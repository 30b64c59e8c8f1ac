//! What was published, and what of it a hub of these limits still keeps.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use sse_core::{EventId, Hub, StreamOptions, TopicPattern};

/// Of the last two only the latest value counts.
pub(crate) const TOPICS: [&str; 5] = ["a", "b", "c", "value/x", "value/y"];

pub(crate) fn is_latest(topic: usize) -> bool {
    topic >= 3
}

pub(crate) struct Entry {
    pub(crate) topics: Vec<usize>,
    at: u64,
    /// In how many of its topics it has not been superseded.
    within: usize,
    pub(crate) kept: bool,
}

pub(crate) struct Published {
    pub(crate) hub: Hub,
    /// By sequence number, from 1.
    pub(crate) entries: Vec<Entry>,
    max_events: usize,
    max_age: u64,
    now: u64,
    epoch: String,
}

impl Published {
    pub(crate) fn new(rng: &mut StdRng) -> Self {
        let max_events = rng.random_range(2..=50);
        let max_age = if rng.random_bool(0.3) { 30 } else { 86_400 };
        let hub = Hub::builder()
            .max_events(max_events)
            .max_age(Duration::from_secs(max_age))
            .latest(TopicPattern::new("value/*").unwrap())
            .stream_options(StreamOptions::new())
            .build();
        let epoch = hub.position().to_string().split_once('-').unwrap().0.to_owned();
        Self { hub, entries: Vec::new(), max_events, max_age, now: 0, epoch }
    }

    pub(crate) fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn entry(&self, n: u64) -> &Entry {
        &self.entries[n as usize - 1]
    }

    pub(crate) fn id(&self, n: u64) -> EventId {
        format!("{}-{n}", self.epoch).parse().unwrap()
    }

    pub(crate) fn kept(&self) -> impl Iterator<Item = (u64, &Entry)> {
        (1..).zip(&self.entries).filter(|(_, entry)| entry.kept)
    }

    pub(crate) fn publish(&mut self, rng: &mut StdRng) {
        let count = [1, 1, 1, 2, 5][rng.random_range(0..5)];
        let mut topics: Vec<usize> = [0, 1, 2, 3, 4].sample(rng, count).copied().collect();
        topics.sort_unstable();
        let size: usize = match rng.random_range(0..12) {
            0 => 4096 - 70 + rng.random_range(0..140),
            1 => 16_384 - 70 + rng.random_range(0..140),
            2 => 40_000,
            3 | 4 => 1000,
            _ => rng.random_range(0..20),
        };
        let n = self.head() + 1;
        let names: Vec<&str> = topics.iter().map(|topic| TOPICS[*topic]).collect();
        let id = self.hub.publish_now(&names[..], format!("{n} {}", "x".repeat(size))).unwrap();
        assert_eq!(id, self.id(n));
        for &topic in topics.iter().filter(|topic| is_latest(**topic)) {
            let superseded = self.entries.iter_mut().rfind(|entry| entry.topics.contains(&topic));
            if let Some(superseded) = superseded {
                superseded.within -= 1;
                superseded.kept &= superseded.within > 0;
            }
        }
        self.entries.push(Entry { within: topics.len(), topics, at: self.now, kept: true });
        self.expire();
        let over = self.kept().count().saturating_sub(self.max_events);
        self.entries.iter_mut().filter(|entry| entry.kept).take(over).for_each(|entry| entry.kept = false);
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        self.expire();
    }

    fn expire(&mut self) {
        let (now, age) = (self.now, self.max_age);
        let old = self.entries.iter_mut().filter(|entry| now - entry.at >= age);
        old.for_each(|entry| entry.kept = false);
    }
}
