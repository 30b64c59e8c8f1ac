//! [`Permit`]: one stream's place among the open ones.

use std::task::Waker;

use super::{Lifecycle, streams::Key};
#[cfg(feature = "limits")]
use crate::limits::Place;

/// One open stream's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    lifecycle: Lifecycle,
    key: Key,
    /// What it takes of the limits: one pointer, and most often none.
    #[cfg(feature = "limits")]
    places: Option<Box<Places>>,
}

#[cfg(feature = "limits")]
#[derive(Debug)]
struct Places(#[expect(dead_code, reason = "held")] Vec<Place>);

impl Permit {
    pub(super) fn new(lifecycle: &Lifecycle, key: Key) -> Self {
        Self {
            lifecycle: lifecycle.clone(),
            key,
            #[cfg(feature = "limits")]
            places: None,
        }
    }

    /// The same, which holds these places too.
    #[cfg(feature = "limits")]
    pub(crate) fn with_places(mut self, places: Vec<Place>) -> Self {
        self.places = (!places.is_empty()).then(|| Box::new(Places(places)));
        self
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

impl Drop for Permit {
    fn drop(&mut self) {
        let inner = &self.lifecycle.0;
        let mut streams = inner.lock();
        let place = streams.remove(self.key);
        let last = place.is_some() && streams.is_empty();
        drop(streams);
        drop(place);
        if last {
            inner.changed.notify_waiters();
        }
    }
}
