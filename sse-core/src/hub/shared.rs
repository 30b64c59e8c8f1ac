//! [`Shared`]: the hub's state under its one lock, and the task that wakes subscribers.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use slab::Slab;
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    cursor::Policy,
    log::{Log, Pos},
    tail::Tails,
    wake::{Slot, Wake},
};
use crate::{
    frame::Draft,
    id::EventId,
    lifecycle::Lifecycle,
    options::StreamOptions,
    topic::{Topic, TopicPattern, Topics},
};

/// One lock for all: ids are given and frames become visible in one order, and a subscriber takes frames and
/// learns of losses in one look.
#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) wake: Wake,
    pub(super) slots: Slab<Slot>,
    pub(super) tails: Tails,
    /// When the last event came: about now, for those who have just been woken for it.
    pub(super) newest: Instant,
    pub(super) generation: u32,
}

/// What a hub was told when it was built.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) max_event_bytes: usize,
    pub(super) policy: Policy,
    pub(super) positions: bool,
    pub(super) latest: Vec<TopicPattern>,
    pub(super) linger: Option<Duration>,
    pub(super) options: StreamOptions,
    pub(super) lifecycle: Lifecycle,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) settings: Settings,
    /// The log's head, to be looked at without the lock.
    head: AtomicU64,
    wake_task: AtomicBool,
    /// Lives longer than the hub, so that the task that waits on it does not keep the hub alive.
    news: Arc<Notify>,
}

impl Shared {
    pub(super) fn new(log: Log, settings: Settings) -> Self {
        Self {
            head: AtomicU64::new(log.head().pos),
            state: Mutex::new(State {
                log,
                wake: Wake::new(settings.linger.is_some()),
                slots: Slab::new(),
                tails: Tails::default(),
                newest: Instant::now(),
                generation: 0,
            }),
            settings,
            wake_task: AtomicBool::new(false),
            news: Arc::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_latest(&self, topic: &Topic) -> bool {
        self.settings.latest.iter().any(|pattern| pattern.matches(topic))
    }

    #[inline]
    pub(super) fn head(&self) -> Pos {
        self.head.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn has_wake_task(&self) -> bool {
        self.wake_task.load(Ordering::SeqCst)
    }

    /// Gives the event its id, makes it visible and has its subscribers woken.
    pub(super) fn append(&self, topics: &Topics, draft: Draft) -> EventId {
        let mut state = self.lock();
        // Read under the lock: the log's events are in the order of their times.
        let now = Instant::now();
        state.newest = now;
        let now = now.into_std();
        let id = state.log.next_id();
        let frame = draft.seal(id);
        let keys = state.log.append(id, topics.iter(), |topic| self.is_latest(topic), &frame, now);
        self.head.store(state.log.head().pos, Ordering::Release);
        for &key in &keys {
            state.wake.mark(key);
        }
        let idle = state.wake.is_idle();
        drop(state);
        if !idle {
            self.wake();
        }
        id
    }

    /// Has those woken who were marked: by the wake task, or here where there is none.
    fn wake(&self) {
        if self.wake_task.load(Ordering::SeqCst) {
            self.news.notify_one();
        } else {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        let mut wakers = Vec::new();
        self.lock().wake.release();
        while self.wake_some(&mut wakers) {}
    }

    /// Wakes a few; whether there are more.
    fn wake_some(&self, wakers: &mut Vec<Waker>) -> bool {
        let mut guard = self.lock();
        let State { log, wake, slots, .. } = &mut *guard;
        wake.next(log, slots, wakers);
        let more = !wake.is_done();
        drop(guard);
        wakers.drain(..).for_each(Waker::wake);
        more
    }

    /// Starts the wake task where none runs. It lives in the runtime of the subscriber that is just being
    /// polled, and can die with it; then the next subscriber starts another.
    pub(super) fn ensure_wake_task(self: &Arc<Self>) {
        if self.wake_task.load(Ordering::SeqCst) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.wake_task.swap(true, Ordering::SeqCst) {
            let task = WakeTask(Arc::downgrade(self));
            runtime.spawn(task.run(Arc::clone(&self.news)));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.news.notify_one();
    }
}

struct WakeTask(Weak<Shared>);

impl WakeTask {
    async fn run(self, news: Arc<Notify>) {
        let mut wakers = Vec::new();
        // When the last pass began. The first event goes out at once; those that follow within the time for
        // which the hub lingers are one pass, and one write each.
        let mut began: Option<Instant> = None;
        loop {
            let Some(shared) = self.0.upgrade() else {
                return;
            };
            if shared.wake_some(&mut wakers) {
                drop(shared);
                tokio::task::yield_now().await;
                continue;
            }
            let Some(linger) = shared.settings.linger else {
                drop(shared);
                news.notified().await;
                continue;
            };
            let until = began.map(|began| began + linger).filter(|until| *until > Instant::now());
            if let Some(until) = until {
                drop(shared);
                sleep_until(until).await;
            } else if shared.lock().wake.release() {
                began = Some(Instant::now());
            } else {
                drop(shared);
                news.notified().await;
            }
        }
    }
}

/// Dropped with its runtime, it leaves nobody asleep.
impl Drop for WakeTask {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.wake_task.store(false, Ordering::SeqCst);
            shared.wake_all();
        }
    }
}
