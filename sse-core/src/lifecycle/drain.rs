//! [`Drain`]: when each stream leaves, and [`Leaving`]: what has them do it.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime,
    time::{Instant, sleep_until},
};

use super::{
    Inner,
    first::first,
    streams::{AT_ONCE, Key},
};
use crate::end_reason::EndReason;

/// How long after the window a stream may take to give out what it owes.
pub(super) const LAST: Duration = Duration::from_secs(1);

/// The same where nothing is waited for any more.
pub(super) const LAST_AT_ONCE: Duration = Duration::from_millis(500);

/// Where the window of streams that may finish what they say begins to be one of leaving.
const FINISHED: f64 = 0.8;

/// A drain that has begun.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) began: Instant,
    /// What chance gave: with it each place has its moment, and none need be kept.
    seed: u64,
}

impl Drain {
    pub(super) fn now() -> Self {
        Self { began: Instant::now(), seed: rand::random() }
    }

    /// When the stream in this place leaves.
    pub(super) fn leaves_at(&self, key: Key, window: Duration) -> Instant {
        let part = fraction(self.seed ^ u64::from(key.slot()));
        self.began + window.mul_f64(if key.owes() { part } else { FINISHED + (1.0 - FINISHED) * part })
    }
}

/// Spread evenly between 0 and 1 (the last step of SplitMix64).
fn fraction(of: u64) -> f64 {
    let mut x = of.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    (x >> 11) as f64 / (1_u64 << 53) as f64
}

/// Has the streams leave, each at its moment: one task for all of them. Dropped before it is through, as with its
/// runtime, it has those that are left leave at once.
pub(super) struct Leaving {
    inner: Arc<Inner>,
    is_through: bool,
}

impl Leaving {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        Self { inner: Arc::clone(inner), is_through: false }
    }

    /// In the runtime that this is called in, or where there is none, in a thread of its own.
    pub(super) fn start(self) {
        if let Ok(runtime) = runtime::Handle::try_current() {
            runtime.spawn(self.run());
            return;
        }
        let own = std::thread::Builder::new().name("sse-drain".to_owned());
        let started = own.spawn(move || match runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(self.run()),
            Err(error) => tracing::error!(%error, "the streams leave at once: there is no timer"),
        });
        if let Err(error) = started {
            tracing::error!(%error, "the streams leave at once: there is no thread to wait in");
        }
    }

    async fn run(mut self) {
        let inner = Arc::clone(&self.inner);
        let window = inner.times.window;
        if !inner.times.notice.is_zero() {
            inner.pause_until(Instant::now() + inner.times.notice).await;
        }
        let drain = inner.begin();
        let mut moments: Vec<(Instant, Key)> = {
            let streams = inner.lock();
            streams.keys().map(|key| (drain.leaves_at(key, window), key)).collect()
        };
        moments.sort_unstable_by_key(|(at, _)| *at);
        let mut rest = &moments[..];
        while let Some((next, _)) = rest.first() {
            inner.pause_until(*next).await;
            if inner.is_at_once() {
                break;
            }
            let now = Instant::now();
            let due = rest.iter().take(AT_ONCE).take_while(|(at, _)| *at <= now).count();
            let (leaving, others) = rest.split_at(due);
            inner.wake(leaving.iter().map(|(_, key)| *key));
            rest = others;
            tokio::task::yield_now().await;
        }
        // Whoever has not taken what he is owed by then goes without.
        inner.overdue().await;
        let free = |key| inner.free(key, Some(EndReason::Stopping));
        inner.each(|keys| keys.into_iter().for_each(free));
        self.is_through = true;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.is_through {
            self.inner.stop_at_once();
        }
    }
}

impl Inner {
    /// Waits until then, or until nothing is waited for any more.
    pub(super) async fn pause_until(&self, moment: Instant) {
        first(sleep_until(moment), self.until(Self::is_at_once)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_over_the_window() {
        let drain = Drain::now();
        let window = Duration::from_secs(10);
        for (owes, from) in [(true, 0.0), (false, 0.8)] {
            let mut tenths = [0; 10];
            for slot in 0..100_000 {
                let at =
                    (drain.leaves_at(Key::new(slot, 1, owes), window) - drain.began).div_duration_f64(window);
                assert!((from..1.0).contains(&at), "{at}");
                tenths[((at - from) / (1.0 - from) * 10.0) as usize] += 1;
            }
            assert!(tenths.iter().all(|count| (9_500..10_500).contains(count)), "{tenths:?}");
        }
    }
}
