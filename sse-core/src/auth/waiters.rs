//! [`Waiters`]: requests that wait for word of something from another node.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::digest::Digest;

/// So many at most, by what they wait for.
pub(super) struct Waiters {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    all: usize,
    waiting: HashMap<Digest, (Arc<Notify>, usize)>,
}

impl Waiters {
    pub(super) fn new(most: usize) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// Waits until something is so, which is looked at when there is word of this. Whether it is; not where there is no
    /// room to wait.
    pub(super) async fn until(&self, key: Digest, longest: Duration, is_so: impl Fn() -> bool) -> bool {
        if is_so() {
            return true;
        }
        let Some(place) = self.enter(key) else {
            return false;
        };
        let told = async {
            loop {
                let mut news = pin!(place.news.notified());
                // From here on it is heard.
                news.as_mut().enable();
                if is_so() {
                    return;
                }
                news.await;
            }
        };
        timeout(longest, told).await.is_ok()
    }

    /// There is word of it.
    pub(super) fn wake(&self, key: &Digest) {
        if let Some((news, _)) = self.lock().waiting.get(key) {
            news.notify_waiters();
        }
    }

    fn enter(&self, key: Digest) -> Option<Place<'_>> {
        let mut state = self.lock();
        if state.all >= self.most {
            return None;
        }
        state.all += 1;
        let (news, many) = state.waiting.entry(key).or_default();
        *many += 1;
        let news = Arc::clone(news);
        Some(Place { waiters: self, key, news })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that waits.
struct Place<'a> {
    waiters: &'a Waiters,
    key: Digest,
    news: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        state.all -= 1;
        if let Some((_, many)) = state.waiting.get_mut(&self.key) {
            *many -= 1;
            if *many == 0 {
                state.waiting.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_wait_and_leave_nothing_behind() {
        let waiters = Arc::new(Waiters::new(2));
        let is_so = Arc::<AtomicBool>::default();
        let key = Digest::of(&["a"]);
        let wait = || {
            let (waiters, is_so) = (Arc::clone(&waiters), Arc::clone(&is_so));
            tokio::spawn(async move {
                waiters.until(key, Duration::from_secs(1), || is_so.load(Ordering::SeqCst)).await
            })
        };
        let (one, two) = (wait(), wait());
        tokio::task::yield_now().await;
        assert!(!wait().await.unwrap(), "no room");
        waiters.wake(&key);
        is_so.store(true, Ordering::SeqCst);
        waiters.wake(&key);
        assert!(one.await.unwrap() && two.await.unwrap());
        assert!(wait().await.unwrap());
        is_so.store(false, Ordering::SeqCst);
        let aborted = wait();
        tokio::task::yield_now().await;
        aborted.abort();
        assert!(aborted.await.is_err());
        assert!(!wait().await.unwrap(), "in time");
        let state = waiters.lock();
        assert!(state.all == 0 && state.waiting.is_empty());
    }
}
