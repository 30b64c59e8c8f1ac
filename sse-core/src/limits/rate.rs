//! [`Rate`]: how often each may come.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{Quota, RateLimiter, clock::Clock, state::keyed::HashMapStateStore};

use super::key::Key;

/// How many are remembered by themselves: 6 MB or so.
const MOST: usize = 1 << 16;

/// When there are more, all share so many places: whoever comes from more addresses than can be counted has the crowds
/// to himself, and others rarely.
const CROWDS: u16 = 1 << 12;

/// How often those are forgotten who have not come lately.
const TIDY: Duration = Duration::from_secs(60);

/// How often, where there are too many.
const TIDY_SOON: Duration = Duration::from_secs(1);

/// So many a minute of each.
pub(super) struct Rate {
    limiter: RateLimiter<Counted, HashMapStateStore<Counted>, TokioClock>,
    tidied: Mutex<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    One(Key),
    Crowd(u16),
}

impl Rate {
    pub(super) fn per_minute(times: u32) -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(times).unwrap_or(NonZeroU32::MIN));
        Self {
            limiter: RateLimiter::new(quota, HashMapStateStore::default(), TokioClock),
            tidied: Mutex::new(TokioClock.now()),
        }
    }

    /// Whether this one may come now; else after how long.
    pub(super) fn check(&self, key: Key) -> Result<(), Duration> {
        let now = TokioClock.now();
        self.tidy(now);
        let counted = match self.len() < MOST {
            true => Counted::One(key),
            false => Counted::Crowd(key.crowd(CROWDS)),
        };
        self.limiter.check_key(&counted).map_err(|not_until| not_until.wait_time_from(now))
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.limiter.len()
    }

    /// Forgets those of whom nothing more has to be known.
    fn tidy(&self, now: Instant) {
        let every = if self.len() < MOST { TIDY } else { TIDY_SOON };
        let mut tidied = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(*tidied) < every {
            return;
        }
        *tidied = now;
        drop(tidied);
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The clock that all timers here go by.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn key(n: usize) -> Key {
        Key::of_subject(&n.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_may_come_at_once_and_then_one_for_each_part_of_the_minute() {
        let rate = Rate::per_minute(6);
        for _ in 0..6 {
            assert_eq!(rate.check(key(1)), Ok(()));
        }
        let after = rate.check(key(1)).unwrap_err();
        assert_eq!(after, Duration::from_secs(10));
        assert_eq!(rate.check(key(2)), Ok(()));
        advance(after - Duration::from_millis(1)).await;
        assert_eq!(rate.check(key(1)), Err(Duration::from_millis(1)));
        advance(Duration::from_millis(1)).await;
        assert_eq!(rate.check(key(1)), Ok(()));
        assert!(rate.check(key(1)).is_err());
        advance(Duration::from_secs(3600)).await;
        assert_eq!((0..10).filter(|_| rate.check(key(1)).is_ok()).count(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_not_come_lately_is_forgotten_and_too_many_share_a_few_places() {
        let rate = Rate::per_minute(60);
        for n in 0..3 * MOST {
            rate.check(key(n)).ok();
        }
        assert!(rate.len() <= MOST + usize::from(CROWDS), "{}", rate.len());
        assert!(rate.len() > MOST);
        // One alone cannot come without end in their midst.
        let let_in = (0..1000).filter(|_| rate.check(key(usize::MAX)).is_ok()).count();
        assert!(let_in <= 60, "{let_in}");
        // A minute later nobody has come lately.
        advance(Duration::from_secs(61)).await;
        assert_eq!(rate.check(key(1)), Ok(()));
        assert_eq!(rate.len(), 1);
    }
}
