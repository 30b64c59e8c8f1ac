//! [`SubscriptionHandle`]: changes the topics of an open subscription; and [`Held`], which frees what it holds.

use std::{fmt, sync::Weak};

use super::{
    inner::{HubState, Inner, Told},
    wake::Slot,
};
use crate::{end_reason::EndReason, lifecycle::Release, log::Member, topic::Topics};

/// Changes the topics of an open [`Subscription`](crate::Subscription), from anywhere: without a reconnect, and without a
/// gap. Does not keep it open.
///
/// For what a client comes to see, or no longer, while its stream is open: a room that it enters, a document that it
/// closes, a right that it is given.
///
/// ```
/// use std::{collections::HashMap, sync::Mutex};
/// use sse_core::{EventStream, Hub, Refusal, Request, Subscription, SubscriptionHandle, Topics};
///
/// /// The open stream of each visitor.
/// #[derive(Default)]
/// struct Visitors(Mutex<HashMap<String, SubscriptionHandle>>);
///
/// fn events(request: &Request, hub: &Hub, visitors: &Visitors, name: &str) -> Result<EventStream<Subscription>, Refusal> {
///     let stream = hub.open(request, "news")?; // of an adapter's reply it is `reply.0`
///     visitors.0.lock().unwrap().insert(name.to_owned(), stream.handle());
///     Ok(stream)
/// }
///
/// /// In any other handler: from now on the visitor's open stream has this room's events too.
/// fn enter(visitors: &Visitors, name: &str, room: &Topics) -> bool {
///     visitors.0.lock().unwrap().get(name).is_some_and(|stream| stream.add(room))
/// }
/// ```
#[derive(Clone)]
pub struct SubscriptionHandle {
    pub(super) shared: Weak<Inner>,
    pub(super) slot: usize,
    pub(super) generation: u32,
}

impl SubscriptionHandle {
    /// Adds topics, from now on: what was published to them before is not sent.
    ///
    /// A client's id is a position, not a set of topics: after a reconnect it gets what it asks for then.
    /// Adding is the application's word: it is not held against the grants of the one who is connected.
    /// Returns whether the subscription is still open.
    pub fn add(&self, topics: &Topics) -> bool {
        self.change(|shared, state, slot, generation| {
            let HubState { log, sleepers, slots, .. } = state;
            let since = log.head().pos;
            for topic in topics {
                let key = log.join(topic, |topic| shared.is_latest(topic));
                if slots[slot].cursor.members().iter().any(|member| member.key == key) {
                    log.leave(key);
                    continue;
                }
                slots[slot].cursor.add(Member { key, since });
                if let Some(group) = slots[slot].group {
                    sleepers.join(group, key, slot, generation);
                }
            }
        })
    }

    /// Takes topics away: nothing more of them is sent, not even what was published before and is still due. The stream
    /// stays open without any. Returns whether the subscription is still open.
    pub fn remove(&self, topics: &Topics) -> bool {
        self.change(|_, state, slot, generation| {
            let HubState { log, sleepers, slots, .. } = state;
            for topic in topics {
                let Some(key) = log.key(topic) else {
                    continue;
                };
                let Slot { cursor, group, .. } = &mut slots[slot];
                if !cursor.members().iter().any(|member| member.key == key) {
                    continue;
                }
                cursor.remove(log, key);
                if let Some(group) = *group {
                    sleepers.leave_one(group, key, slot, generation);
                }
                log.leave(key);
            }
        })
    }

    /// Ends the stream, after what is due now; its client may come back. Returns whether it was still open.
    pub fn end(&self) -> bool {
        let mut waker = None;
        let open = self.change(|_, state, slot, _| {
            let HubState { log, slots, .. } = state;
            slots[slot].cursor.finish(log);
            waker = slots[slot].waker.take();
        });
        // The lock is free: waking may poll it right here.
        if let Some(waker) = waker {
            waker.wake();
        }
        open
    }

    fn change(&self, change: impl FnOnce(&Inner, &mut HubState, usize, u32)) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return false;
        };
        let mut state = shared.lock();
        let open = state.slots.get(self.slot).is_some_and(|slot| slot.generation == self.generation);
        if open {
            change(&shared, &mut state, self.slot, self.generation);
            let told = state.topics_told(self.slot);
            drop(state);
            told.into_iter().for_each(Told::tell);
        }
        open
    }
}

impl fmt::Debug for SubscriptionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionHandle").finish_non_exhaustive()
    }
}

/// A subscriber's slot, to be freed without the stream that it feeds.
pub(super) struct Held {
    pub(super) shared: Weak<Inner>,
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl Release for Held {
    fn release(&self, _: Option<EndReason>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.free(self.slot, self.generation);
        }
    }
}
