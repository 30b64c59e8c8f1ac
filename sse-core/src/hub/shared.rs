//! [`Shared`]: the hub's state under its one lock.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use slab::Slab;
use tokio::{runtime::Handle, sync::Notify, time::Instant};

use super::wake::{Lane, Lanes, News, Next, Slot, Spawn, TASKS, Wakes};
use crate::{
    frame::Draft,
    id::EventId,
    lifecycle::Lifecycle,
    log::{CatchUps, Log, Pos},
    options::StreamOptions,
    topic::{Topic, TopicPattern, Topics},
    wakers::wake_all,
};

/// One lock for all: ids are given and frames become visible in one order, and a subscriber takes frames and
/// learns of losses in one look.
#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) lanes: Lanes,
    pub(super) slots: Slab<Slot>,
    pub(super) catch_ups: CatchUps,
    /// When the last event came: about now, for those who have just been woken for it.
    pub(super) newest: Instant,
    pub(super) generation: u32,
}

/// What a hub was told when it was built.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) max_event_bytes: usize,
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
    /// Whether somebody sleeps whom no task wakes.
    orphans: AtomicBool,
    /// By lane. They live longer than the hub, so that the tasks that wait do not keep the hub alive.
    news: Arc<News>,
}

impl Shared {
    pub(super) fn new(log: Log, settings: Settings) -> Self {
        Self {
            head: AtomicU64::new(log.head().pos),
            state: Mutex::new(State {
                log,
                lanes: Lanes::new(settings.linger.is_some()),
                slots: Slab::new(),
                catch_ups: CatchUps::default(),
                newest: Instant::now(),
                generation: 0,
            }),
            settings,
            orphans: AtomicBool::new(false),
            news: Arc::new(std::array::from_fn(|_| <[_; TASKS]>::default())),
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
    pub(super) fn has_orphans(&self) -> bool {
        self.orphans.load(Ordering::SeqCst)
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
            state.lanes.mark(key);
        }
        let due = state.lanes.due();
        let freed = state.log.take_freed();
        drop(state);
        for (lane, tasks) in due.tasks() {
            self.news[lane].iter().take(tasks).for_each(Notify::notify_one);
        }
        if due.publisher {
            self.wake_orphans();
        }
        drop(freed);
        id
    }

    /// Wakes those whom no task wakes.
    fn wake_orphans(&self) {
        let mut wakers = Vec::new();
        loop {
            let mut guard = self.lock();
            let State { log, lanes, slots, .. } = &mut *guard;
            let Some(wake) = lanes.next_orphan() else {
                return;
            };
            wake.next(log, slots, &mut wakers);
            drop(guard);
            wake_all(wakers.drain(..));
        }
    }

    /// Sees to it that there is somebody to wake this subscriber, which is just being polled.
    ///
    /// That are tasks in its runtime. They can die with it; then the next subscriber that is polled elsewhere
    /// brings others. Returns what is to be started once the lock is free.
    pub(super) fn board(self: &Arc<Self>, lanes: &mut Lanes, slot: &mut Slot, key: usize) -> Option<Spawn> {
        if slot.lane.is_some_and(|lane| !lanes.is_orphan(lane)) {
            return None;
        }
        self.change_lane(lanes, slot, key)
    }

    /// [`board`](Self::board) for a subscriber that may be in another runtime than before.
    pub(super) fn change_lane(
        self: &Arc<Self>,
        lanes: &mut Lanes,
        slot: &mut Slot,
        key: usize,
    ) -> Option<Spawn> {
        let runtime = Handle::try_current().ok();
        let id = runtime.as_ref().map(Handle::id);
        let topics = || slot.cursor.members().iter().map(|member| member.key);
        if let Some(lane) = slot.lane {
            if lanes.runtime(lane) == id {
                return None;
            }
            lanes.exit(lane, topics(), key, slot.generation);
        }
        let (lane, wants) = lanes.enter(id);
        topics().for_each(|topic| lanes.join(lane, topic, key, slot.generation));
        slot.lane = Some(lane);
        self.count_orphans(lanes);
        let spawn = Spawn::new(runtime.filter(|_| wants)?, self.to_wake(), lane, &self.news);
        lanes.staff(lane, spawn.tasks());
        Some(spawn)
    }

    fn to_wake(self: &Arc<Self>) -> Weak<dyn Wakes> {
        let weak: Weak<Self> = Arc::downgrade(self);
        weak
    }

    /// Must follow every change that may leave a lane without a task, or without subscribers.
    pub(super) fn count_orphans(&self, lanes: &Lanes) {
        self.orphans.store(lanes.has_orphans(), Ordering::SeqCst);
    }
}

impl Wakes for Shared {
    fn wake_some(&self, lane: Lane, passing: bool, wakers: &mut Vec<Waker>) -> Next {
        let mut guard = self.lock();
        let State { log, lanes, slots, .. } = &mut *guard;
        let next = lanes.pass(lane, passing, self.settings.linger, log, slots, wakers);
        drop(guard);
        wake_all(wakers.drain(..));
        next
    }

    fn retire(&self, lane: Lane, passing: bool) {
        let mut state = self.lock();
        let is_staffed = state.lanes.retire(lane, passing);
        self.count_orphans(&state.lanes);
        drop(state);
        if is_staffed {
            self.news[lane.index()].iter().for_each(Notify::notify_one);
        }
        self.wake_orphans();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.news.iter().flatten().for_each(Notify::notify_one);
    }
}
