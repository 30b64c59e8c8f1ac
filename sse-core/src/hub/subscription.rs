//! [`Subscription`]: a subscriber of the hub, its cursor kept under the hub's lock.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use tokio::time::Instant;

use super::{
    cursor::Cursor,
    log::Member,
    shared::{Shared, State},
    wake::Slot,
};
use crate::{batch::Batch, frame::Frame, hub::Start, source::Source, stream::EventStream, topic::Topics};

/// A subscriber to some topics of a [`Hub`](crate::Hub): the source of an [`EventStream`](crate::EventStream).
///
/// It holds a position in the hub's log and nothing else; dropping it frees everything.
pub struct Subscription {
    shared: Arc<Shared>,
    slot: usize,
    generation: u32,
}

impl Subscription {
    pub(super) fn new(shared: &Arc<Shared>, topics: &Topics, start: Start) -> Self {
        let now = Instant::now().into_std();
        let mut guard = shared.lock();
        let State { log, wake, slots, generation } = &mut *guard;
        log.trim(now);
        let members: Vec<Member> = topics
            .iter()
            .map(|topic| Member { key: log.join(topic, |topic| shared.is_latest(topic)), since: 0 })
            .collect();
        *generation = generation.wrapping_add(1);
        let generation = *generation;
        let cursor = Cursor::new(log, members, start, now);
        let slot = slots.insert(Slot { cursor, waker: None, generation });
        for member in slots[slot].cursor.members() {
            wake.join(member.key, slot, generation);
        }
        drop(guard);
        Self { shared: Arc::clone(shared), slot, generation }
    }

    /// A handle that changes the topics while the stream is open.
    pub fn handle(&self) -> SubscriptionHandle {
        SubscriptionHandle {
            shared: Arc::downgrade(&self.shared),
            slot: self.slot,
            generation: self.generation,
        }
    }

    fn position(&self, opening: bool) -> Option<Frame> {
        if !self.shared.positions {
            return None;
        }
        let mut guard = self.shared.lock();
        let State { log, slots, .. } = &mut *guard;
        slots[self.slot].cursor.position(log, opening)
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

impl Source for Subscription {
    const OWES: bool = true;

    fn poll_batch(self: Pin<&mut Self>, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<()> {
        let now = Instant::now().into_std();
        let mut guard = self.shared.lock();
        let State { log, slots, .. } = &mut *guard;
        log.trim(now);
        let slot = &mut slots[self.slot];
        slot.cursor.take(log, &self.shared.policy, now, batch);
        if !batch.is_empty() || batch.is_ended() {
            return Poll::Ready(());
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        drop(guard);
        self.shared.ensure_wake_task();
        Poll::Pending
    }

    fn greeting(self: Pin<&mut Self>) -> Option<Frame> {
        self.position(true)
    }

    fn heartbeat(self: Pin<&mut Self>) -> Option<Frame> {
        self.position(false)
    }

    fn wake_at(&self) -> Option<Instant> {
        self.shared.lock().slots[self.slot].cursor.wake_at().map(Instant::from_std)
    }

    fn finish(self: Pin<&mut Self>) {
        let mut guard = self.shared.lock();
        let State { log, slots, .. } = &mut *guard;
        slots[self.slot].cursor.finish(log);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut guard = self.shared.lock();
        let State { log, wake, slots, .. } = &mut *guard;
        let slot = slots.remove(self.slot);
        for member in slot.cursor.members() {
            wake.leave(member.key, slots);
            log.leave(member.key);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// Changes the topics of an open [`Subscription`], from anywhere. Does not keep it open.
#[derive(Clone)]
pub struct SubscriptionHandle {
    shared: Weak<Shared>,
    slot: usize,
    generation: u32,
}

impl SubscriptionHandle {
    /// Adds topics, from now on: what was published to them before is not sent.
    ///
    /// A client's id is a position, not a set of topics: after a reconnect it gets what it asks for then.
    /// Adding is the application's word: it is not held against the grants of the one who is connected.
    /// Returns whether the subscription is still open.
    pub fn add(&self, topics: &Topics) -> bool {
        self.change(|shared, state, slot, generation| {
            let State { log, wake, slots, .. } = state;
            let since = log.head().pos;
            for topic in topics {
                let key = log.join(topic, |topic| shared.is_latest(topic));
                if slots[slot].cursor.members().iter().any(|member| member.key == key) {
                    log.leave(key);
                    continue;
                }
                slots[slot].cursor.members_mut().push(Member { key, since });
                wake.join(key, slot, generation);
            }
        })
    }

    /// Takes topics away: nothing more of them is sent. Returns whether the subscription is still open.
    pub fn remove(&self, topics: &Topics) -> bool {
        self.change(|_, state, slot, generation| {
            let State { log, wake, slots, .. } = state;
            for topic in topics {
                let members = slots[slot].cursor.members_mut();
                let Some(key) = log.key(topic) else {
                    continue;
                };
                let Some(index) = members.iter().position(|member| member.key == key) else {
                    continue;
                };
                members.swap_remove(index);
                slots[slot].cursor.disown(key);
                wake.leave_one(key, slot, generation);
                log.leave(key);
            }
        })
    }

    fn change(&self, change: impl FnOnce(&Shared, &mut State, usize, u32)) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return false;
        };
        let mut state = shared.lock();
        let open = state.slots.get(self.slot).is_some_and(|slot| slot.generation == self.generation);
        if open {
            change(&shared, &mut state, self.slot, self.generation);
        }
        open
    }
}

impl fmt::Debug for SubscriptionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionHandle").finish_non_exhaustive()
    }
}
