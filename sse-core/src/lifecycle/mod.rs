//! [`Lifecycle`]: every open stream of a server, and their end when the server stops.

mod first;
mod permit;
mod signal;

use std::{
    fmt,
    future::{Future, pending},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use slab::Slab;
use tokio::{sync::Notify, time::timeout};

use self::first::first;
pub(crate) use self::permit::Permit;
#[cfg(feature = "limits")]
use crate::limits::Limits;
use crate::wakers::wake_all;

/// How long [`Lifecycle::stopped`] waits for the streams to end.
const WINDOW: Duration = Duration::from_secs(5);

/// How long [`Lifecycle::limit`] leaves a server after that, for answers under way.
const GRACE: Duration = Duration::from_secs(2);

/// Knows the open streams of a server and ends them before the server stops. Cheap to clone; clones are one.
///
/// Frameworks wait for open bodies when they stop, and a stream never ends by itself: without this a server
/// hangs on its first open stream (warp) or cuts it in the middle (actix-web, Rocket). A [`Hub`](crate::Hub)
/// brings one ([`Hub::lifecycle`](crate::Hub::lifecycle)); an application with streams of its own alone makes
/// one.
#[derive(Clone, Default)]
pub struct Lifecycle(Arc<Inner>);

#[derive(Default)]
struct Inner {
    stopping: AtomicBool,
    /// Whom to wake; of a stream that was not polled yet, nobody.
    streams: Mutex<Slab<Waker>>,
    changed: Notify,
    #[cfg(feature = "limits")]
    limits: Option<Limits>,
}

impl Lifecycle {
    /// For a server that has just started.
    pub fn new() -> Self {
        Self::default()
    }

    /// For a server that has just started, with limits for all of its streams.
    #[cfg(feature = "limits")]
    pub fn with_limits(limits: &Limits) -> Self {
        Self(Arc::new(Inner { limits: Some(limits.clone()), ..Inner::default() }))
    }

    /// The limits for all of its streams, if there are any.
    #[cfg(feature = "limits")]
    pub(crate) fn limits(&self) -> Option<&Limits> {
        self.0.limits.as_ref()
    }

    /// Ends the open streams, each cleanly after what it still owes, and opens no more: those who ask are told
    /// to come back later. Returns at once; [`stopped`](Self::stopped) waits.
    pub fn stop(&self) {
        if self.0.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        // What listens to the log may ask for the streams too: no lock is held while it does.
        let streams = self.streams();
        tracing::info!(streams, "ending the open event streams");
        let nobody = |waker: &mut Waker| std::mem::replace(waker, Waker::noop().clone());
        let wakers: Vec<Waker> = self.0.lock().iter_mut().map(|(_, waker)| nobody(waker)).collect();
        wake_all(wakers);
        self.0.changed.notify_waiters();
    }

    /// Whether [`stop`](Self::stop) was called.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::SeqCst)
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.0.lock().len()
    }

    /// Waits until [`stop`](Self::stop) was called and the streams have ended, for the latter five seconds at
    /// most: a client that stopped reading does not hold up the server.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let inner = Arc::clone(&self.0);
        async move {
            inner.until(|inner| inner.stopping.load(Ordering::SeqCst)).await;
            if timeout(WINDOW, inner.until(|inner| inner.lock().is_empty())).await.is_err() {
                let streams = inner.lock().len();
                tracing::warn!(streams, "event streams did not end in time");
            }
        }
    }

    /// Waits for SIGTERM or Ctrl-C (elsewhere than on Unix for Ctrl-C alone) or for [`stop`](Self::stop), ends
    /// the streams and waits until they have ended: what actix-web's `shutdown_signal` and warp's `graceful`
    /// take.
    ///
    /// A server accepts nothing more once it has its own signal, so this comes first.
    pub fn stop_on_signal(&self) -> impl Future<Output = ()> + Send + 'static {
        let lifecycle = self.clone();
        async move {
            let stop = async {
                signal::received().await;
                lifecycle.stop();
                pending::<()>().await;
            };
            first(lifecycle.stopped(), stop).await;
        }
    }

    /// Runs a server until it ends, or until two seconds after the streams had their time to end.
    ///
    /// For servers that wait without limit for a client that stopped reading, as warp's `graceful` does.
    /// `None` when the time ran out.
    pub async fn limit<F: Future>(&self, server: F) -> Option<F::Output> {
        let overdue = async {
            self.stopped().await;
            tokio::time::sleep(GRACE).await;
            None
        };
        first(async { Some(server.await) }, overdue).await
    }

    /// Whether both are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A place among the open streams, or nothing when the server is stopping.
    pub(crate) fn enter(&self) -> Option<Permit> {
        // Looked at under the lock that `stop` takes after it has set the flag: a stream that gets a permit is
        // seen by `stop` or sees the flag.
        let mut streams = self.0.lock();
        if self.is_stopping() {
            return None;
        }
        let key = streams.insert(Waker::noop().clone());
        Some(Permit::new(self, key))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }
}

impl AsRef<Self> for Lifecycle {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("streams", &self.streams())
            .field("stopping", &self.is_stopping())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stopping_waits_for_the_last_stream() {
        let lifecycle = Lifecycle::new();
        let permit = lifecycle.enter().unwrap();
        let waiting = tokio::spawn(lifecycle.stopped());
        lifecycle.stop();
        assert!(lifecycle.enter().is_none());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_does_not_wait_for_ever() {
        let lifecycle = Lifecycle::new();
        let _seat = lifecycle.enter().unwrap();
        lifecycle.stop();
        lifecycle.stopped().await;
        assert!(lifecycle.limit(std::future::pending::<()>()).await.is_none());
        assert_eq!(lifecycle.limit(async { 1 }).await, Some(1));
    }
}
