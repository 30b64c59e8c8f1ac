//! [`Permit`]: one stream's place among the open ones.

use std::{
    sync::{Arc, Weak},
    task::Waker,
};

use tokio::time::Instant;

use super::{Inner, Lifecycle, Release, life::Life, reaper::Reaper, streams::Key};
use crate::end_reason::EndReason;
#[cfg(feature = "limits")]
use crate::limits::Place;
use crate::wakers::wake_all;

/// One open stream's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    lifecycle: Lifecycle,
    key: Key,
    life: Option<Arc<Life>>,
}

/// What a stream takes of the limits. It is free when it is dropped, with the stream's place.
#[cfg(feature = "limits")]
struct Places(#[expect(dead_code, reason = "held")] Vec<Place>);

#[cfg(feature = "limits")]
impl Release for Places {
    fn release(&self, _: Option<EndReason>) {}
}

impl Permit {
    pub(super) fn new(lifecycle: &Lifecycle, key: Key) -> Self {
        Self { lifecycle: lifecycle.clone(), key, life: None }
    }

    /// The same, which holds these places too.
    #[cfg(feature = "limits")]
    pub(crate) fn with_places(self, places: Vec<Place>) -> Self {
        if !places.is_empty() {
            self.hold(Box::new(Places(places)));
        }
        self
    }

    /// The same, and this is told of its stream, which begins.
    pub(crate) fn with_life(mut self, life: Option<Arc<Life>>) -> Self {
        if let Some(life) = &life {
            // Before others may tell of its end.
            life.begin();
            let is_told = self.lifecycle.0.lock().set_life(self.key, life);
            if !is_told {
                life.end_unread(Some(EndReason::Stopping));
            }
        }
        self.life = life;
        self
    }

    /// What is told of its stream, where somebody wants to know.
    #[inline]
    pub(crate) fn life(&self) -> Option<&Life> {
        self.life.as_deref()
    }

    pub(crate) fn shared_life(&self) -> Option<&Arc<Life>> {
        self.life.as_ref()
    }

    /// Whether the streams are leaving. This one may have some time yet.
    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.lifecycle.is_stopping()
    }

    /// Whether it is this one's turn to leave.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_stopping() && self.lifecycle.0.is_leaving(self.key)
    }

    /// Wakes this task when the stream is to leave.
    pub(crate) fn register(&self, waker: &Waker) {
        let fresh = waker.clone();
        let old = self.lifecycle.0.lock().register(self.key, fresh);
        drop(old);
        // It may have been woken just before.
        if self.is_leaving() {
            waker.wake_by_ref();
        }
    }
}

impl Permit {
    /// What the stream holds, to be freed with its place where that must be without it: at once, where that is gone
    /// already, as at the end of a drain that began while the stream was being opened.
    pub(crate) fn hold(&self, held: Box<dyn Release>) {
        let refused = self.lifecycle.0.lock().hold(self.key, held);
        if let Some(held) = refused {
            held.release(Some(EndReason::Stopping));
        }
    }

    /// Until when the stream may hold it.
    pub(crate) fn keep_until(&self, deadline: Instant, reason: EndReason) {
        self.lifecycle.0.keep_until(self.key, deadline, reason);
    }

    /// The stream has ended, and frees its place.
    pub(crate) fn end(mut self, reason: EndReason) {
        let life = self.life.take();
        drop(self);
        if let Some(life) = life {
            life.end(reason);
        }
    }

    /// Whether the place, and with it what the stream held, was freed without it.
    pub(crate) fn is_gone(&self) -> bool {
        !self.lifecycle.0.lock().contains(self.key)
    }

    /// The place, for others.
    pub(crate) fn seat(&self) -> Seat {
        Seat { inner: Arc::downgrade(&self.lifecycle.0), key: self.key }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        drop(self.lifecycle.0.remove(self.key));
        // One that has not ended yet was dropped by whoever had it.
        if let Some(life) = &self.life {
            life.end(EndReason::Gone);
        }
    }
}

/// A place as others than its stream know it.
#[derive(Debug)]
pub(crate) struct Seat {
    inner: Weak<Inner>,
    key: Key,
}

impl Seat {
    /// The stream has ended; it has as long as others to see it.
    pub(crate) fn end(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.keep_until(self.key, Instant::now(), EndReason::Revoked);
        }
    }
}

/// One that has a place with two servers leaves both.
impl Release for Seat {
    fn release(&self, reason: Option<EndReason>) {
        if let Some(inner) = self.inner.upgrade() {
            inner.free(self.key, reason);
        }
    }
}

impl Inner {
    pub(super) fn free(&self, key: Key, reason: Option<EndReason>) {
        wake_all(self.remove(key).map(|place| place.free(reason)));
    }

    /// The place, for the caller to drop.
    fn remove(&self, key: Key) -> Option<super::streams::Place> {
        let mut streams = self.lock();
        let place = streams.remove(key);
        let last = place.is_some() && streams.is_empty();
        drop(streams);
        if last {
            self.changed.notify_waiters();
        }
        place
    }

    fn keep_until(self: &Arc<Self>, key: Key, deadline: Instant, reason: EndReason) {
        let mut streams = self.lock();
        let is_first = streams.keep_until(key, deadline, reason);
        let kept = streams.kept;
        drop(streams);
        if !kept {
            Reaper::start(self);
        } else if is_first {
            self.sooner.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{lifecycle::LifecycleBuilder, metrics::Asked};

    struct Noted(Arc<Mutex<Option<EndReason>>>);

    impl Release for Noted {
        fn release(&self, reason: Option<EndReason>) {
            *self.0.lock().unwrap() = reason;
        }
    }

    impl crate::lifecycle::StreamObserver for Noted {
        fn ended(&self, _: &crate::lifecycle::OpenStream, reason: EndReason) {
            *self.0.lock().unwrap() = Some(reason);
        }
    }

    /// Opening takes as long as the machine lets it.
    #[test]
    fn what_a_stream_holds_whose_place_was_freed_meanwhile_is_free() {
        let lifecycle = LifecycleBuilder::default().build();
        let (held, told) = <(Arc<_>, Arc<_>)>::default();
        lifecycle.observe(Noted(Arc::clone(&told)));
        let permit = lifecycle.enter(true).unwrap();
        lifecycle.0.free(permit.key, Some(EndReason::Stopping));
        let permit = permit.with_life(lifecycle.life(Asked::now(), None, None, false));
        permit.hold(Box::new(Noted(Arc::clone(&held))));
        assert_eq!(*held.lock().unwrap(), Some(EndReason::Stopping));
        assert_eq!(*told.lock().unwrap(), Some(EndReason::Stopping));
        assert!(permit.is_gone());
    }
}
