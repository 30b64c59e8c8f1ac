//! [`Subscription`]: a subscriber of the hub, its cursor kept under the hub's lock.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker, ready},
};

use futures_core::Stream;
use tokio::{task::coop, time::Instant};

use super::{
    handle::{Held, SubscriptionHandle},
    inner::{HubState, Inner, Told, live},
    received::Received,
    wake::Slot,
};
use crate::{
    batch::Batch,
    end_reason::EndReason,
    frame::Frame,
    lifecycle::{Life, Lifecycle, Permit, Release},
    log::{Cursor, Followed, Given, Member, Policy, Pos, Position},
    metrics,
    source::{Feed, Live},
    stream::EventStream,
    topic::Topics,
};

/// A subscriber to some topics of a [`Hub`](crate::Hub): the source of an [`EventStream`], and a [`Stream`] of
/// [`Received`] events for what reads them on this side.
///
/// It holds a position in the hub's log and nothing else; dropping it frees everything.
///
/// ```
/// # use futures_util::StreamExt;
/// use sse_core::{Hub, Start};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::new();
/// hub.publish("chat", "hello").await?;
/// let mut events = hub.subscribe("chat", Start::Oldest)?;
/// let event = events.next().await.ok_or("the server stops")?; // to a WebSocket, a log, a test
/// assert_eq!(event.data(), "hello");
/// # Ok(()) }
/// ```
///
/// As a stream of events it is one of the open streams of the hub's [`Lifecycle`] from its first poll on, and ends when
/// the server stops.
pub struct Subscription {
    shared: Arc<Inner>,
    slot: u32,
    generation: u32,
    /// Where it stood when it last fell asleep at the head.
    asleep_at: Pos,
    extra: Option<Box<Extra>>,
}

/// What only some subscriptions have: all of them are counted in bytes.
#[derive(Default)]
struct Extra {
    policy: Policy,
    /// Its place among the open streams, where it is read on this side; elsewhere the [`EventStream`] has one.
    permit: Option<Permit>,
    /// Who reads it on this side.
    waker: Option<Waker>,
    stopping: bool,
}

impl Extra {
    fn policy(extra: &Option<Box<Self>>) -> &Policy {
        extra.as_ref().map_or(&Policy::DEFAULT, |extra| &extra.policy)
    }
}

/// No head stands here: it did not fall asleep.
const NEVER: Pos = 0;

/// Nor here: it must be asked again at some time.
const WAITS: Pos = Pos::MAX;

/// Has the sleeper be this one. Another that was there is left in `waker`: cloning and dropping are the task's own
/// code, and done without the lock.
fn arm(sleeper: &mut Option<Waker>, waker: &mut Option<Waker>) {
    if !matches!((&*sleeper, &*waker), (Some(sleeper), Some(waker)) if sleeper.will_wake(waker)) {
        std::mem::swap(sleeper, waker);
    }
}

impl Subscription {
    pub(super) fn new(shared: &Arc<Inner>, topics: &Topics, start: Position, policy: Policy) -> Self {
        let now = Instant::now().into_std();
        let mut guard = shared.lock();
        let HubState { log, slots, generation, .. } = &mut *guard;
        log.trim(now);
        let members: Vec<Member> = topics
            .iter()
            .map(|topic| Member { key: log.join(topic, |topic| shared.is_latest(topic)), since: 0 })
            .collect();
        *generation = generation.wrapping_add(1);
        let generation = *generation;
        let cursor = Cursor::new(log, members, start, now);
        let resumed = matches!(start, Position::Client(_)).then(|| cursor.resumed(log));
        let slot = slots.insert(Slot { cursor, waker: None, generation, group: None });
        let freed = log.take_freed();
        drop(guard);
        drop(freed);
        resumed.into_iter().for_each(metrics::resumed);
        Self {
            shared: Arc::clone(shared),
            slot: slot as u32,
            generation,
            asleep_at: NEVER,
            extra: (policy != Policy::DEFAULT).then(|| Box::new(Extra { policy, ..Extra::default() })),
        }
    }

    /// A handle that changes the topics while the stream is open.
    pub fn handle(&self) -> SubscriptionHandle {
        SubscriptionHandle {
            shared: Arc::downgrade(&self.shared),
            slot: self.slot as usize,
            generation: self.generation,
        }
    }

    fn position(&self, opening: bool) -> Option<Frame> {
        if !self.shared.settings.positions {
            return None;
        }
        let mut guard = self.shared.lock();
        let HubState { log, slots, .. } = &mut *guard;
        live(slots, self.slot, self.generation)?.cursor.position(log, opening)
    }
}

impl EventStream<Subscription> {
    /// A handle that changes the topics while the stream is open; take it before the stream is sent. That of a
    /// stream that has ended, or answers a `HEAD`, changes nothing.
    pub fn handle(&self) -> SubscriptionHandle {
        self.source().map_or_else(
            || SubscriptionHandle { shared: Weak::new(), slot: 0, generation: 0 },
            Subscription::handle,
        )
    }
}

/// One event of a subscription, taken out of its turn.
pub(super) struct Taken {
    pub(super) event: Received,
    /// What the client had before.
    before: Given,
}

impl Subscription {
    /// The next event by itself, or why there is none.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Taken, EndReason>> {
        let given = |slot: &mut Slot| slot.cursor.given();
        let Some(before) = live(&mut self.shared.lock().slots, self.slot, self.generation).map(given) else {
            return Poll::Ready(Err(EndReason::Closed));
        };
        let mut batch = Batch::of_one();
        if self.poll_due(cx, &mut batch).is_pending() {
            return Poll::Pending;
        }
        let reason = batch.end_reason().unwrap_or(EndReason::Closed);
        let event = batch.into_one().and_then(|(bytes, topics)| Received::new(bytes, Topics::of(topics)));
        Poll::Ready(event.map(|event| Taken { event, before }).ok_or(reason))
    }

    /// The client is not given this event.
    pub(super) fn keep_back(&mut self, taken: &Taken) {
        if let Some(slot) = live(&mut self.shared.lock().slots, self.slot, self.generation) {
            slot.cursor.keep_back(taken.before);
        }
    }

    /// It is woken in the runtime that it is polled in.
    fn change_group(&self) {
        let mut guard = self.shared.lock();
        let HubState { sleepers, slots, .. } = &mut *guard;
        let Some(slot) = live(slots, self.slot, self.generation) else {
            return;
        };
        // One that has never slept finds its group when it does.
        let start = slot.group.and_then(|_| self.shared.change_group(sleepers, slot, self.slot as usize));
        drop(guard);
        if let Some(start) = start {
            start.run();
        }
    }

    fn poll_due(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<()> {
        let mut waker = Some(cx.waker().clone());
        let mut guard = self.shared.lock();
        let HubState { log, slots, catch_ups, newest, sleepers, parked, .. } = &mut *guard;
        let Some(slot) = live(slots, self.slot, self.generation) else {
            // Freed, as its stream was not polled when it should have ended.
            batch.end(EndReason::Closed);
            return Poll::Ready(());
        };
        // The clock is read only where something of its own may have expired.
        let pos = slot.cursor.pos();
        let mut freed = None;
        if batch.before().is_none_or(|before| log.expires_behind(pos, before.into_std())) {
            log.trim(batch.now().into_std());
            freed = Some(log.take_freed());
        }
        let policy = Extra::policy(&self.extra);
        let followed = match batch.is_of_one() {
            true => None,
            false => slot.cursor.follow(log, policy, catch_ups, batch.limit()),
        };
        match followed {
            None => slot.cursor.take(log, policy, batch.now().into_std(), batch),
            Some(Followed::Nothing) => {}
            Some(Followed::All(bytes, events)) => batch.push_some(bytes, events),
            Some(Followed::Part(bytes, events)) => {
                batch.push_some(bytes, events);
                batch.fill();
            }
        }
        let due = !batch.is_empty() || batch.is_ended();
        if due {
            batch.hint(*newest);
        }
        self.asleep_at = NEVER;
        let mut start = None;
        if (slot.cursor.is_at_rest(log) || !due) && !batch.is_ended() {
            arm(&mut slot.waker, &mut waker);
            start = self.shared.board(sleepers, slot, self.slot as usize);
            self.asleep_at = match slot.cursor.waits_for() {
                Some(id) => {
                    parked.insert(id, self.slot, self.generation);
                    WAITS
                }
                None => slot.cursor.pos(),
            };
        }
        drop(guard);
        drop(freed);
        if let Some(start) = start {
            start.run();
        }
        if due { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The events as they are published, gaps included, without positions and keep-alives. One whose event has no place in
/// its client's world is [filtered](Subscription::filter_map) out.
impl Stream for Subscription {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        // A task that reads nothing else would hold its thread as long as others publish.
        let turn = ready!(coop::poll_proceed(cx));
        let this = &mut *self;
        let extra = this.extra.get_or_insert_default();
        if !extra.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            let entered = || this.shared.settings.lifecycle.enter(true);
            extra.permit = extra.permit.take().or_else(entered);
            if let Some(permit) = &extra.permit {
                permit.register(cx.waker());
            }
            extra.waker = Some(cx.waker().clone());
            // It may be in another runtime by now, and the first stand still.
            this.change_group();
        }
        let extra = this.extra.get_or_insert_default();
        let stops = extra.permit.as_ref().is_none_or(Permit::is_leaving);
        if stops && !std::mem::replace(&mut extra.stopping, true) {
            // What is due now is the rest.
            Pin::new(&mut *this).finish();
        }
        let next = this.poll_event(cx).map(|taken| taken.ok().map(|taken| taken.event));
        if next.is_ready() {
            turn.made_progress();
        }
        if matches!(next, Poll::Ready(None))
            && let Some(extra) = &mut this.extra
        {
            // It holds up nobody who waits for the streams to end, even if it is not dropped yet.
            (extra.permit, extra.waker) = (None, None);
        }
        next
    }
}

impl Feed for Subscription {
    const OWES: bool = true;

    fn origin(&self) -> Option<(Topics, &Lifecycle)> {
        let mut guard = self.shared.lock();
        let HubState { log, slots, .. } = &mut *guard;
        let slot = live(slots, self.slot, self.generation);
        let names = slot.map(|slot| log.names(slot.cursor.members())).unwrap_or_default();
        Some((Topics::of(names), &self.shared.settings.lifecycle))
    }

    fn begins(&self, life: &Arc<Life>) {
        if !life.is_observed() {
            return;
        }
        let mut state = self.shared.lock();
        state.lives.insert(self.slot as usize, Arc::clone(life));
        let tell = state.topics_told(self.slot as usize);
        drop(state);
        tell.into_iter().for_each(Told::tell);
    }

    fn leave(self: Pin<&mut Self>, topics: &Topics) -> bool {
        self.handle().remove(topics);
        let mut guard = self.shared.lock();
        live(&mut guard.slots, self.slot, self.generation)
            .is_some_and(|slot| !slot.cursor.members().is_empty())
    }

    fn holding(&self) -> Option<Box<dyn Release>> {
        let shared = Arc::downgrade(&self.shared);
        Some(Box::new(Held { shared, slot: self.slot, generation: self.generation }))
    }

    fn poll_batch(mut self: Pin<&mut Self>, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<()> {
        self.poll_due(cx, batch)
    }

    fn poll_live(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        limit: usize,
        before: Instant,
    ) -> Option<Live> {
        let this = &mut *self;
        let mut waker = Some(cx.waker().clone());
        let mut guard = this.shared.lock();
        let HubState { log, slots, catch_ups, newest, .. } = &mut *guard;
        let slot = live(slots, this.slot, this.generation)?;
        if log.expires_behind(slot.cursor.pos(), before.into_std()) {
            return None;
        }
        let at = *newest;
        let policy = Extra::policy(&this.extra);
        match slot.cursor.follow(log, policy, catch_ups, limit)? {
            Followed::Nothing => None,
            Followed::Part(bytes, events) => {
                this.asleep_at = NEVER;
                Some(Live { bytes, events, at, more: true })
            }
            Followed::All(bytes, events) => {
                // At the head it falls asleep in the same look, so that the poll that follows need not look.
                arm(&mut slot.waker, &mut waker);
                this.asleep_at = slot.cursor.pos();
                Some(Live { bytes, events, at, more: false })
            }
        }
    }

    fn moved(mut self: Pin<&mut Self>) {
        if let Some(extra) = &mut self.extra {
            // Of one that was read on this side before.
            (extra.permit, extra.waker) = (None, None);
        }
        self.change_group();
    }

    #[inline]
    fn is_asleep(&self) -> bool {
        self.asleep_at == self.shared.head() && !self.shared.has_orphans()
    }

    fn greeting(self: Pin<&mut Self>) -> Option<Frame> {
        self.position(true)
    }

    fn heartbeat(self: Pin<&mut Self>) -> Option<Frame> {
        self.position(false)
    }

    #[inline]
    fn wake_at(&self) -> Option<Instant> {
        if self.asleep_at != WAITS {
            return None;
        }
        let mut guard = self.shared.lock();
        live(&mut guard.slots, self.slot, self.generation)?.cursor.wake_at().map(Instant::from_std)
    }

    fn finish(self: Pin<&mut Self>) {
        let mut guard = self.shared.lock();
        let HubState { log, slots, .. } = &mut *guard;
        if let Some(slot) = live(slots, self.slot, self.generation) {
            slot.cursor.finish(log);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.free(self.slot, self.generation);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
