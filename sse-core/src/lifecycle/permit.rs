//! [`Permit`]: one stream's place among the open ones.

use std::task::Waker;

use super::Lifecycle;

/// One open stream's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    lifecycle: Lifecycle,
    key: usize,
}

impl Permit {
    pub(super) fn new(lifecycle: &Lifecycle, key: usize) -> Self {
        Self { lifecycle: lifecycle.clone(), key }
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
