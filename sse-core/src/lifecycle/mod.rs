//! [`Lifecycle`]: every open stream of a server, and their end when the server stops.

mod builder;
mod drain;
mod first;
mod inner;
mod life;
mod observer;
mod permit;
mod reaper;
mod signal;
mod streams;

use std::{
    fmt,
    future::{Future, pending},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::time::sleep;

pub use self::builder::LifecycleBuilder;
pub use self::observer::{OpenStream, StreamObserver};
use self::{
    drain::Leaving,
    first::first,
    inner::{DRAINING, Inner, NOTICED, SERVING},
    observer::Observed,
    signal::Signals,
};
pub(crate) use self::{
    life::Life,
    permit::{Permit, Seat},
    streams::Release,
};
#[cfg(feature = "limits")]
use crate::limits::Limits;
#[cfg(feature = "metrics")]
use crate::metrics;
use crate::{metrics::Asked, topic::Topics};

/// How long [`Lifecycle::limit`] leaves a server once its streams had their time, for answers under way.
const GRACE: Duration = Duration::from_secs(2);

/// The same where nothing is waited for any more.
const GRACE_AT_ONCE: Duration = Duration::from_millis(500);

/// Knows the open streams of a server and ends them before the server stops. Cheap to clone; clones are one.
///
/// Frameworks wait for open bodies when they stop, and a stream never ends by itself: without this a server
/// hangs on its first open stream (warp) or cuts it in the middle (actix-web, Rocket). A [`Hub`](crate::Hub)
/// brings one ([`Hub::lifecycle`](crate::Hub::lifecycle)), or is [given](crate::HubBuilder::lifecycle) one; an
/// application with streams of its own alone makes one.
///
/// **A stop goes like this.**
///
/// 1. [`is_ready`](Self::is_ready) says no, and all goes on for the time of
///    [`notice`](LifecycleBuilder::notice), in which a balancer looks elsewhere.
/// 2. New streams are told to come back later. Each open one leaves at a moment of its own within the
///    [`window`](LifecycleBuilder::window): one of a hub after everything that was published before that moment, one
///    of the application's own after the end of what it is saying, or in the last fifth of the window between two
///    items. The last words are the endpoint's [`farewell`](crate::StreamOptions::farewell) and a time to come back,
///    another for each.
/// 3. Those that have not taken what they are owed one second after the window are waited for no longer, and the
///    server ends, which [`limit`](Self::limit) gives two seconds.
///
/// In all: notice + window + 3 s, and less where the streams have gone before. Both are 0 s unless the
/// [builder](Self::builder) says otherwise, so that a server without a balancer stops at once:
///
/// ```
/// use std::time::Duration;
/// use sse_core::{Hub, Lifecycle};
///
/// // Behind a balancer that asks every five seconds, and needs two refusals to believe it.
/// let lifecycle = Lifecycle::builder().notice(Duration::from_secs(12)).window(Duration::from_secs(10)).build();
/// let hub = Hub::builder().lifecycle(&lifecycle).build();
/// # assert!(hub.lifecycle().is_ready());
/// ```
#[derive(Clone)]
pub struct Lifecycle(Arc<Inner>);

impl Lifecycle {
    /// For a server that has just started: when it stops, its streams end at once, after what they owe.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// How much time a stop takes.
    pub fn builder() -> LifecycleBuilder {
        LifecycleBuilder::default()
    }

    /// The limits for all of its streams, if there are any.
    #[cfg(feature = "limits")]
    pub(crate) fn limits(&self) -> Option<&Limits> {
        self.0.times.limits.as_ref()
    }

    fn of(times: LifecycleBuilder) -> Self {
        Self(Arc::new(Inner::new(times)))
    }

    /// Has the open streams end, each cleanly after what it still owes, and those who ask for another told to come
    /// back later: when and for how long, the [builder](Self::builder) says. Returns at once;
    /// [`stopped`](Self::stopped) waits.
    ///
    /// A time that must be waited for is waited for in the runtime that this is called in, or where there is none, in a
    /// thread of its own.
    pub fn stop(&self) {
        let inner = &self.0;
        if inner.phase.compare_exchange(SERVING, NOTICED, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return;
        }
        // What listens to the log may ask for the streams too: no lock is held while it does.
        let streams = self.streams();
        let LifecycleBuilder { notice, window, .. } = inner.times;
        tracing::info!(streams, ?notice, ?window, "ending the open event streams");
        if notice.is_zero() {
            inner.begin();
        }
        if notice.is_zero() && window.is_zero() {
            inner.wake_everyone();
            self.free_unread();
        } else {
            Leaving::new(inner).start();
        }
    }

    /// Those are left that nobody reads.
    fn free_unread(&self) {
        if self.streams() > 0 {
            Leaving::new(&self.0).start();
        }
    }

    /// Ends the open streams in this moment, each after what it owes: nothing is waited for any more. That is what a
    /// second signal does.
    pub fn stop_at_once(&self) {
        let inner = &self.0;
        let is_first =
            inner.phase.compare_exchange(SERVING, NOTICED, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        inner.stop_at_once();
        // Otherwise `stop` sees to it.
        if is_first {
            self.free_unread();
        }
    }

    /// Whether the server is to be sent requests: until [`stop`](Self::stop). It is what the endpoint says by which a
    /// balancer goes, with a 503 for *no*.
    pub fn is_ready(&self) -> bool {
        self.0.phase() == SERVING
    }

    /// Whether the streams are leaving, and no more are opened: after [`stop`](Self::stop) and the
    /// [notice](LifecycleBuilder::notice).
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.0.phase() >= DRAINING
    }

    /// Waits until the streams begin to leave, for what goes on beside them: a job that should save its state, an own
    /// stream that has something to say before it goes. It has four fifths of the window for that.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let inner = Arc::clone(&self.0);
        async move { inner.until(|inner| inner.phase() >= DRAINING).await }
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.0.lock().len()
    }

    /// Waits until [`stop`](Self::stop) was called and the streams have ended, at most until a second after the
    /// window: a client that stopped reading does not hold up the server.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let inner = Arc::clone(&self.0);
        async move {
            inner.until(|inner| inner.phase() >= DRAINING).await;
            let ended = async {
                inner.until(|inner| inner.lock().is_empty()).await;
                true
            };
            let overdue = async {
                inner.overdue().await;
                false
            };
            if !first(ended, overdue).await {
                let streams = inner.lock().len();
                tracing::warn!(streams, "event streams did not end in time");
            }
        }
    }

    /// Waits for SIGTERM or Ctrl-C (elsewhere than on Unix for Ctrl-C alone) or for [`stop`](Self::stop), ends
    /// the streams and waits until they have ended: what actix-web's `shutdown_signal` and warp's `graceful`
    /// take.
    ///
    /// A server accepts nothing more once it has its own signal, so this comes first. A second signal is
    /// [`stop_at_once`](Self::stop_at_once), and [`limit`](Self::limit) ends the server with it.
    pub fn stop_on_signal(&self) -> impl Future<Output = ()> + Send + 'static {
        let lifecycle = self.clone();
        async move {
            let stop = async {
                let mut signals = Signals::listen();
                signals.received().await;
                lifecycle.stop();
                let lifecycle = lifecycle.clone();
                // It counts while the server ends, too, when nobody polls this any more.
                tokio::spawn(async move {
                    signals.received().await;
                    lifecycle.stop_at_once();
                });
                pending::<()>().await;
            };
            first(lifecycle.stopped(), stop).await;
        }
    }

    /// Runs a server until it ends, or until two seconds after the streams had their time to end; after a second
    /// signal, until one second after that.
    ///
    /// For servers that wait without limit for a client that stopped reading, as warp's `graceful` does, or that hear
    /// no second signal, as actix-web and Rocket. `None` when the time ran out.
    pub async fn limit<F: Future>(&self, server: F) -> Option<F::Output> {
        let overdue = async {
            self.stopped().await;
            let at_once = async {
                self.0.until(Inner::is_at_once).await;
                sleep(GRACE_AT_ONCE).await;
            };
            first(sleep(GRACE), at_once).await;
            None
        };
        first(async { Some(server.await) }, overdue).await
    }

    /// Has this told of every stream that opens from now on, of a hub or not, and of its end. A stream that counts with
    /// two, as where a hub has a lifecycle of its own, is told of by that of its request.
    ///
    /// It is kept for as long as this is.
    pub fn observe(&self, observer: impl StreamObserver) {
        let mut observers = self.0.observers.write().unwrap_or_else(PoisonError::into_inner);
        let observer: Arc<dyn StreamObserver> = Arc::new(observer);
        *observers = observers.iter().cloned().chain([observer]).collect();
    }

    /// What is told of a stream that opens; nothing where nobody wants to know.
    pub(crate) fn life(
        &self,
        asked: Asked,
        subject: Option<&str>,
        topics: Option<&Topics>,
        is_resumed: bool,
    ) -> Option<Arc<Life>> {
        let observers = Arc::clone(&self.0.observers.read().unwrap_or_else(PoisonError::into_inner));
        let observed = (!observers.is_empty()).then(|| Observed::new(observers, subject, topics));
        Life::new(asked, topics, is_resumed, observed)
    }

    /// Hands everything that is counted to the recorder of the crate `metrics`, to the last event: for the handler of
    /// `/metrics`. Where there is a hub, [`Hub::record_metrics`](crate::Hub::record_metrics) does this too.
    ///
    /// The counts are those of the process. Without this they reach the recorder a second late while streams open and
    /// end, and what open streams were sent with every 64th chunk and with each keep-alive.
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self) {
        let mut from = Some(0);
        while let Some(slot) = from {
            let streams = self.0.lock();
            let (keys, next) = streams.some(slot);
            let lives = streams.lives(&keys);
            drop(streams);
            lives.iter().for_each(|life| life.tell());
            from = next;
        }
        metrics::record();
    }

    /// Whether both are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A place among the open streams, or nothing when the server is stopping. One that `owes` is fed by a hub, and
    /// has nothing to finish.
    pub(crate) fn enter(&self, owes: bool) -> Option<Permit> {
        // Looked at under the lock that is held when the streams begin to leave: one that gets a permit is seen then,
        // or sees that they do.
        let mut streams = self.0.lock();
        if self.is_stopping() {
            return None;
        }
        let key = streams.insert(owes);
        drop(streams);
        Some(Permit::new(self, key))
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
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
            .field("ready", &self.is_ready())
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
        let permit = lifecycle.enter(true).unwrap();
        let waiting = tokio::spawn(lifecycle.stopped());
        lifecycle.stop();
        assert!(lifecycle.enter(true).is_none());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_does_not_wait_for_ever() {
        let lifecycle = Lifecycle::new();
        let _seat = lifecycle.enter(true).unwrap();
        lifecycle.stop();
        lifecycle.stopped().await;
        assert!(lifecycle.limit(std::future::pending::<()>()).await.is_none());
        assert_eq!(lifecycle.limit(async { 1 }).await, Some(1));
    }
}
