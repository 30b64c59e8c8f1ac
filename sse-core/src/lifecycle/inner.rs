//! [`Inner`]: what the clones of a [`Lifecycle`](super::Lifecycle) share, and how far it is on its way to the end.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
    atomic::{AtomicU8, Ordering},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{
    LifecycleBuilder,
    drain::{Drain, LAST, LAST_AT_ONCE},
    first::first,
    observer::Observers,
    streams::{Key, Streams},
};
use crate::wakers::wake_all;

// How far a server is on its way to the end.
pub(super) const SERVING: u8 = 0;
pub(super) const NOTICED: u8 = 1;
pub(super) const DRAINING: u8 = 2;
pub(super) const AT_ONCE: u8 = 3;

pub(super) struct Inner {
    pub(super) times: LifecycleBuilder,
    pub(super) phase: AtomicU8,
    pub(super) streams: Mutex<Streams>,
    /// Once it has begun.
    pub(super) drain: OnceLock<Drain>,
    pub(super) changed: Notify,
    /// A deadline that comes before all others.
    pub(super) sooner: Arc<Notify>,
    pub(super) observers: RwLock<Observers>,
}

impl Inner {
    pub(super) fn new(times: LifecycleBuilder) -> Self {
        Self {
            times,
            phase: AtomicU8::new(SERVING),
            streams: Mutex::default(),
            drain: OnceLock::new(),
            changed: Notify::new(),
            sooner: Arc::default(),
            observers: RwLock::new(Arc::new([])),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn phase(&self) -> u8 {
        self.phase.load(Ordering::SeqCst)
    }

    pub(super) fn is_at_once(&self) -> bool {
        self.phase() == AT_ONCE
    }

    /// From now on none is let in.
    pub(super) fn begin(&self) -> &Drain {
        let drain = self.drain.get_or_init(Drain::now);
        let streams = self.lock();
        self.phase.fetch_max(DRAINING, Ordering::SeqCst);
        drop(streams);
        self.changed.notify_waiters();
        drain
    }

    pub(super) fn stop_at_once(&self) {
        self.begin();
        if self.phase.fetch_max(AT_ONCE, Ordering::SeqCst) == AT_ONCE {
            return;
        }
        self.changed.notify_waiters();
        self.wake_everyone();
    }

    /// Whether it is the turn of the stream in this place.
    pub(super) fn is_leaving(&self, key: Key) -> bool {
        let window = self.times.window;
        let is_due = |drain: &Drain| Instant::now() >= drain.leaves_at(key, window);
        self.is_at_once() || window.is_zero() || self.drain.get().is_some_and(is_due)
    }

    pub(super) fn wake(&self, keys: impl Iterator<Item = Key>) {
        let mut streams = self.lock();
        let wakers: Vec<_> = keys.filter_map(|key| streams.take_waker(key)).collect();
        drop(streams);
        wake_all(wakers);
    }

    pub(super) fn wake_everyone(&self) {
        self.each(|keys| self.wake(keys.into_iter()));
    }

    /// All that are open, a few at a time and without the lock: what is done to one may end it right here.
    pub(super) fn each(&self, act: impl Fn(Vec<Key>)) {
        let mut from = Some(0);
        while let Some(slot) = from {
            let (keys, next) = self.lock().some(slot);
            act(keys);
            from = next;
        }
    }

    /// Ends when the streams have had their time.
    pub(super) async fn overdue(&self) {
        let began = self.drain.get().map_or_else(Instant::now, |drain| drain.began);
        let at_once = async {
            self.until(Self::is_at_once).await;
            sleep(LAST_AT_ONCE).await;
        };
        first(sleep_until(began + self.times.window + LAST), at_once).await;
    }

    pub(super) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.sooner.notify_one();
    }
}
