//! [`Backoff`]: how long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(1500);

/// None before the first try, then longer and longer ones, none of which ends at a time that others know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn is_first(&self) -> bool {
        self.failures == 0
    }

    pub(super) fn grow(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub(super) fn pause(&self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(2) else { return Duration::ZERO };
        let longest = FIRST.saturating_mul(1 << doublings.min(16)).min(LONGEST);
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_tries_are_made_at_once_and_none_waits_long() {
        let mut backoff = Backoff::default();
        assert!(backoff.pause().is_zero());
        backoff.grow();
        assert!(backoff.pause().is_zero());
        backoff.grow();
        assert!(!backoff.pause().is_zero());
        for _ in 0..100 {
            backoff.grow();
            assert!(backoff.pause() <= LONGEST);
        }
        assert!(backoff.pause() >= LONGEST / 2);
    }
}
