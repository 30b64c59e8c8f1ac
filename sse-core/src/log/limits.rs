//! [`Limits`]: what a log keeps at the most.

use std::time::Duration;

use crate::engine::Past;

/// What the log keeps at the most.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    pub(crate) per_topic: Option<usize>,
    /// Topics that are remembered although they have neither events nor subscribers.
    pub(crate) idle_topics: usize,
    /// How many expired events are freed at a time.
    pub(crate) frees: usize,
}

impl Limits {
    /// What is wanted of an engine's log.
    pub(crate) fn past(&self) -> Past {
        Past::new(self.events, self.bytes, self.age)
    }
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
