//! [`Clock`]: the log's own time, between two looks at it.

use std::time::{Duration, Instant};

/// The log's own time, as it was at a moment of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    ms: u64,
    at: Instant,
}

impl Clock {
    pub(super) fn new(ms: u64) -> Self {
        Self { ms, at: Instant::now() }
    }

    /// How long ago a moment was. Zero for one that is still to come.
    pub(super) fn since(&self, ms: u64) -> Duration {
        let now = Duration::from_millis(self.ms) + self.at.elapsed();
        now.saturating_sub(Duration::from_millis(ms))
    }
}
