//! [`Permit`]: one stream's place among the open ones.

use std::task::Waker;

use super::Lifecycle;
#[cfg(feature = "limits")]
use crate::limits::Place;

/// One open stream's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    lifecycle: Lifecycle,
    key: usize,
    /// What it takes of the limits: one pointer, and most often none.
    #[cfg(feature = "limits")]
    places: Option<Box<Places>>,
}

#[cfg(feature = "limits")]
#[derive(Debug)]
struct Places(#[expect(dead_code, reason = "held")] Vec<Place>);

impl Permit {
    pub(super) fn new(lifecycle: &Lifecycle, key: usize) -> Self {
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

    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.lifecycle.is_stopping()
    }

    /// Wakes this task when the server stops.
    pub(crate) fn register(&self, waker: &Waker) {
        let fresh = waker.clone();
        let old = std::mem::replace(&mut self.lifecycle.0.lock()[self.key], fresh);
        drop(old);
        // `stop` may have taken the wakers just before.
        if self.is_stopping() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut streams = self.lifecycle.0.lock();
        let waker = streams.remove(self.key);
        let last = streams.is_empty();
        drop(streams);
        drop(waker);
        if last {
            self.lifecycle.0.changed.notify_waiters();
        }
    }
}
