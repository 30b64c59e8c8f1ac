//! [`StreamOptions`]: how an open stream behaves, whatever feeds it.

use std::time::Duration;

use crate::event::EVENT_RETRY;

/// Times of an open stream. The defaults suit browsers behind common proxies.
///
/// ```
/// use std::time::Duration;
/// use sse_core::StreamOptions;
///
/// let options = StreamOptions::new().keep_alive(Duration::from_secs(20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    // In milliseconds: every open stream has its own copy.
    keep_alive: u32,
    retry: u32,
    max_age: u64,
}

impl StreamOptions {
    /// Keep-alive after 15 s of silence, reconnect after about 3 s, end after at most one hour.
    pub fn new() -> Self {
        Self { keep_alive: 15_000, retry: 3_000, max_age: 3_600_000 }
    }

    /// After how long without traffic a comment is sent, within 10 ms and 10 minutes (default 15 s).
    ///
    /// It keeps proxies from closing an idle connection, and writing is how actix-web and Rocket learn that a
    /// client has gone: it cannot be turned off.
    #[must_use]
    pub fn keep_alive(mut self, after: Duration) -> Self {
        self.keep_alive = after.clamp(Duration::from_millis(10), Duration::from_secs(600)).as_millis() as u32;
        self
    }

    /// How long clients wait before they reconnect, within 100 ms and one day (default 3 s).
    ///
    /// Every connection is told its own time between half and one and a half of this, so that a fleet which
    /// lost its server at once does not come back at once.
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        self.retry = after.clamp(SHORTEST_RETRY, EVENT_RETRY.1).as_millis() as u32;
        self
    }

    /// After how long a stream is ended, at least one second (default 1 h); the client reconnects and goes on
    /// where it was. Each stream gets a random 80 to 100 % of it.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age =
            age.clamp(Duration::from_secs(1), Duration::from_secs(365 * 86_400)).as_millis() as u64;
        self
    }

    pub(crate) fn keep_alive_after(&self) -> Duration {
        Duration::from_millis(self.keep_alive.into())
    }

    /// This connection's own reconnection time.
    pub(crate) fn jittered_retry(&self) -> Duration {
        Duration::from_millis(self.retry.into())
            .mul_f64(rand::random_range(0.5..1.5))
            .clamp(SHORTEST_RETRY, EVENT_RETRY.1)
    }

    /// This connection's own age limit.
    pub(crate) fn jittered_max_age(&self) -> Duration {
        Duration::from_millis(self.max_age).mul_f64(rand::random_range(0.8..=1.0))
    }
}

/// Never zero: Chromium would be back after 5 ms.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);

impl Default for StreamOptions {
    fn default() -> Self {
        Self::new()
    }
}
