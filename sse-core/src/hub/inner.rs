//! [`Inner`]: the hub's state under its one lock.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use slab::Slab;
use tokio::{runtime::Handle, sync::Notify, time::Instant};

use super::{
    feed::Feed,
    keys::Keys,
    parked::{Key, Parked},
    wake::{GroupId, News, Next, Sleepers, Slot, Spawn, TASKS, Wakes},
};
use crate::{
    engine::Published,
    frame::{Draft, Frame},
    id::EventId,
    lifecycle::{Life, Lifecycle},
    log::{CatchUps, Log, Pos},
    metrics::{self, Count},
    options::StreamOptions,
    topic::{Topic, TopicPattern, Topics},
    wakers::wake_all,
};

/// One lock for all: ids are given and frames become visible in one order, and a subscriber takes frames and
/// learns of losses in one look.
#[derive(Debug)]
pub(super) struct HubState {
    pub(super) log: Log,
    pub(super) sleepers: Sleepers,
    pub(super) slots: Slab<Slot>,
    pub(super) catch_ups: CatchUps,
    /// When the last event came: about now, for those who have just been woken for it.
    pub(super) newest: Instant,
    pub(super) generation: u32,
    /// Those of the streams that somebody observes, by slot.
    pub(super) lives: HashMap<usize, Arc<Life>>,
    /// How often the topics of one of them were looked at.
    looks: u64,
    /// Those whose clients are ahead of the log, or elsewhere: they look again when it has come there, or more is known.
    pub(super) parked: Parked,
    /// How often something was lost on its way here.
    pub(super) holes: u64,
    /// How often an epoch of the engine has ended, and how often one that has come here was not whole.
    pub(super) seams: u64,
    pub(super) lossy_seams: u64,
    /// The keys of events that are to be published once.
    pub(super) keys: Keys,
}

/// What topics an observed stream has, to be told without the lock.
#[must_use]
pub(super) struct Told {
    life: Arc<Life>,
    version: u64,
    topics: Topics,
}

impl Told {
    pub(super) fn tell(self) {
        self.life.has_topics(self.version, self.topics);
    }
}

impl HubState {
    /// Gives an event the next id and makes it visible.
    #[inline]
    fn append_next(&mut self, inner: &Inner, topics: &Topics, draft: Draft) -> EventId {
        // Read under the lock: the log's events are in the order of their times.
        let now = Instant::now();
        self.newest = now;
        let id = self.log.next_id();
        self.append(inner, id, topics, &draft.seal(id), now.into_std());
        id
    }

    /// Makes an event visible. Its subscribers are woken once the lock is free.
    #[inline]
    pub(super) fn append(
        &mut self,
        inner: &Inner,
        id: EventId,
        topics: &Topics,
        frame: &Frame,
        now: std::time::Instant,
    ) {
        let keys = self.log.append(id, topics.iter(), |topic| inner.is_latest(topic), frame, now);
        for &key in &keys {
            self.sleepers.mark(key);
        }
    }

    /// What is to be told of the stream in this slot, whose topics may be others than before.
    pub(super) fn topics_told(&mut self, slot: usize) -> Option<Told> {
        let life = self.lives.get(&slot)?;
        self.looks += 1;
        let topics = Topics::of(self.log.names(self.slots.get(slot)?.cursor.members()));
        Some(Told { life: Arc::clone(life), version: self.looks, topics })
    }
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
    pub(super) name: Box<str>,
}

#[derive(Debug)]
pub(super) struct Inner {
    state: Mutex<HubState>,
    pub(super) settings: Settings,
    /// The log's head, to be looked at without the lock.
    head: AtomicU64,
    /// Whether somebody sleeps whom no task wakes.
    orphans: AtomicBool,
    /// By group. They live longer than the hub, so that the tasks that wait do not keep the hub alive.
    news: Arc<News>,
    /// Where its events come from, if not from this process alone.
    pub(super) feed: Option<Feed>,
}

impl Inner {
    pub(super) fn new(log: Log, settings: Settings, feed: Option<Feed>) -> Self {
        Self {
            head: AtomicU64::new(log.head().pos),
            state: Mutex::new(HubState {
                log,
                sleepers: Sleepers::new(settings.linger.is_some()),
                slots: Slab::new(),
                catch_ups: CatchUps::default(),
                newest: Instant::now(),
                generation: 0,
                lives: HashMap::new(),
                looks: 0,
                parked: Parked::default(),
                holes: 0,
                seams: 0,
                lossy_seams: 0,
                keys: Keys::default(),
            }),
            settings,
            orphans: AtomicBool::new(false),
            news: Arc::new(std::array::from_fn(|_| <[_; TASKS]>::default())),
            feed,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HubState> {
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
        let id = self.change(|state| state.append_next(self, topics, draft));
        metrics::count(Count::Published);
        id
    }

    /// The same, unless an event with this key was published in the last minutes.
    pub(super) fn append_once(&self, key: &str, topics: &Topics, draft: Draft) -> Published {
        let published = self.change(|state| {
            let now = Instant::now();
            if let Some(id) = state.keys.find(key, now) {
                return Published::new(id, false);
            }
            let id = state.append_next(self, topics, draft);
            state.keys.insert(key.into(), id, now);
            Published::new(id, true)
        });
        if published.is_new {
            metrics::count(Count::Published);
        }
        published
    }

    /// Changes the log, and has those woken whom it concerns.
    #[inline]
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut HubState) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        self.head.store(state.log.head().pos, Ordering::Release);
        let due = state.sleepers.due();
        let freed = state.log.take_freed();
        drop(state);
        for (group, tasks) in due.tasks() {
            self.news[group].iter().take(tasks).for_each(Notify::notify_one);
        }
        if due.publisher {
            self.wake_orphans();
        }
        drop(freed);
        changed
    }

    /// Wakes those for whose clients the log has come far enough, or `all` that wait for it; a few at a time.
    pub(super) fn wake_parked(&self, all: bool) {
        let mut last = None;
        loop {
            let mut guard = self.lock();
            let HubState { log, parked, slots, .. } = &mut *guard;
            let some = parked.take(if all { None } else { Some(log.head().id) }, last);
            if some.is_empty() {
                return;
            }
            last = some.last().copied();
            let wake = |(.., slot, generation): Key| live(slots, slot, generation)?.waker.take();
            let wakers: Vec<_> = some.into_iter().filter_map(wake).collect();
            drop(guard);
            wake_all(wakers);
        }
    }

    /// Wakes those whom no task wakes.
    fn wake_orphans(&self) {
        let mut wakers = Vec::new();
        loop {
            let mut guard = self.lock();
            let HubState { log, sleepers, slots, .. } = &mut *guard;
            let Some(wake) = sleepers.next_orphan() else {
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
    pub(super) fn board(
        self: &Arc<Self>,
        sleepers: &mut Sleepers,
        slot: &mut Slot,
        key: usize,
    ) -> Option<Spawn> {
        if slot.group.is_some_and(|group| !sleepers.is_orphan(group)) {
            return None;
        }
        self.change_group(sleepers, slot, key)
    }

    /// [`board`](Self::board) for a subscriber that may be in another runtime than before.
    pub(super) fn change_group(
        self: &Arc<Self>,
        sleepers: &mut Sleepers,
        slot: &mut Slot,
        key: usize,
    ) -> Option<Spawn> {
        let runtime = Handle::try_current().ok();
        let id = runtime.as_ref().map(Handle::id);
        let topics = || slot.cursor.members().iter().map(|member| member.key);
        if let Some(group) = slot.group {
            if sleepers.runtime(group) == id {
                return None;
            }
            sleepers.exit(group, topics(), key, slot.generation);
        }
        let (group, wants) = sleepers.enter(id);
        topics().for_each(|topic| sleepers.join(group, topic, key, slot.generation));
        slot.group = Some(group);
        self.count_orphans(sleepers);
        let spawn = Spawn::new(runtime.filter(|_| wants)?, self.to_wake(), group, &self.news);
        sleepers.staff(group, spawn.tasks());
        Some(spawn)
    }

    fn to_wake(self: &Arc<Self>) -> Weak<dyn Wakes> {
        let weak: Weak<Self> = Arc::downgrade(self);
        weak
    }

    /// A subscriber has gone; nothing where it had before.
    pub(super) fn free(&self, slot: u32, generation: u32) {
        let mut guard = self.lock();
        let HubState { log, sleepers, slots, lives, parked, .. } = &mut *guard;
        let Some(Slot { cursor, .. }) = live(slots, slot, generation) else {
            return;
        };
        if let Some(id) = cursor.waits_for() {
            parked.remove(id, slot, generation);
        }
        let life = lives.remove(&(slot as usize));
        let slot = slots.remove(slot as usize);
        let topics = || slot.cursor.members().iter().map(|member| member.key);
        if let Some(group) = slot.group {
            sleepers.leave(group, topics(), slots);
            self.count_orphans(sleepers);
        }
        topics().for_each(|key| log.leave(key));
        // What it holds may run other people's code when it goes.
        drop(guard);
        drop((slot, life));
    }

    /// Must follow every change that may leave a group without a task, or without subscribers.
    pub(super) fn count_orphans(&self, sleepers: &Sleepers) {
        self.orphans.store(sleepers.has_orphans(), Ordering::SeqCst);
    }
}

/// A subscriber, unless it was freed.
#[inline]
pub(super) fn live(slots: &mut Slab<Slot>, slot: u32, generation: u32) -> Option<&mut Slot> {
    slots.get_mut(slot as usize).filter(|slot| slot.generation == generation)
}

impl Wakes for Inner {
    fn wake_some(&self, group: GroupId, passing: bool, wakers: &mut Vec<Waker>) -> Next {
        let mut guard = self.lock();
        let HubState { log, sleepers, slots, .. } = &mut *guard;
        let next = sleepers.pass(group, passing, self.settings.linger, log, slots, wakers);
        drop(guard);
        wake_all(wakers.drain(..));
        next
    }

    fn retire(&self, group: GroupId, passing: bool) {
        let mut state = self.lock();
        let is_staffed = state.sleepers.retire(group, passing);
        self.count_orphans(&state.sleepers);
        drop(state);
        if is_staffed {
            self.news[group.index()].iter().for_each(Notify::notify_one);
        }
        self.wake_orphans();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.news.iter().flatten().for_each(Notify::notify_one);
    }
}
