//! [`Reaper`]: frees what streams hold that are not polled.
//!
//! A socket that takes nothing blocks its body, and over HTTP/2 a client does that with a window of zero: neither a
//! timer nor a wake-up has it polled, so that it cannot end by itself. One task for all sleeps until the first of their
//! deadlines. A stream that is polled has gone by then.

use std::sync::{Arc, Weak};

use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Inner, first::first};
use crate::wakers::wake_all;

/// Dropped with its runtime, it leaves its place to the next.
pub(super) struct Reaper {
    inner: Weak<Inner>,
    sooner: Arc<Notify>,
}

impl Reaper {
    /// Starts it in this runtime, where there is one and it is not there yet.
    pub(super) fn start(inner: &Arc<Inner>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !std::mem::replace(&mut inner.lock().kept, true) {
            let reaper = Self { inner: Arc::downgrade(inner), sooner: Arc::clone(&inner.sooner) };
            runtime.spawn(reaper.run());
        }
    }

    async fn run(self) {
        // It keeps no lifecycle alive.
        while let Some(next) = self.inner.upgrade().map(|inner| inner.reap()) {
            match next {
                Some(next) => first(sleep_until(next), self.sooner.notified()).await,
                None => self.sooner.notified().await,
            }
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.lock().kept = false;
        }
    }
}

impl Inner {
    /// Frees what is overdue, a few at a time. When the next is.
    fn reap(&self) -> Option<Instant> {
        loop {
            let mut streams = self.lock();
            let overdue = streams.remove_overdue(Instant::now());
            let (next, last) = (streams.next_deadline(), streams.is_empty());
            drop(streams);
            if overdue.is_empty() {
                return next;
            }
            tracing::debug!(streams = overdue.len(), "freed what event streams held that nobody reads");
            // They may be polled again some time, and find that they have ended.
            wake_all(overdue.into_iter().map(|place| place.free(None)));
            if last {
                self.changed.notify_waiters();
            }
        }
    }
}
