//! [`StreamObserver`]: who is told when streams open, change their topics and end.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{end_reason::EndReason, topic::Topics};

/// Is told when a stream opens, has other topics, and ends: streams of hubs and of the application's own, however they
/// end. [`Lifecycle::observe`](crate::Lifecycle::observe) takes it.
///
/// It is called where it happens, in the task of a handler or of a body, and without a lock of the library's: it may
/// publish and ask the hub. It must not wait. Of one stream it is told in order and never of two things at once. A panic
/// in it is logged, and goes no further.
///
/// ```
/// use sse_core::{EndReason, Hub, OpenStream, StreamObserver};
///
/// struct Audit;
///
/// impl StreamObserver for Audit {
///     fn opened(&self, stream: &OpenStream) {
///         println!("{} is connected", stream.subject().unwrap_or("somebody"));
///     }
///
///     fn ended(&self, stream: &OpenStream, reason: EndReason) {
///         println!("{} has left: {reason}", stream.subject().unwrap_or("somebody"));
///     }
/// }
///
/// let hub = Hub::new();
/// hub.lifecycle().observe(Audit);
/// ```
pub trait StreamObserver: Send + Sync + 'static {
    /// A stream has opened. Nothing of it was sent yet.
    fn opened(&self, _stream: &OpenStream) {}

    /// A stream has other topics than `before`, by a [`SubscriptionHandle`](crate::SubscriptionHandle) or because a right
    /// was lost.
    fn changed(&self, _stream: &OpenStream, _before: &Topics) {}

    /// A stream has ended.
    fn ended(&self, _stream: &OpenStream, _reason: EndReason) {}
}

/// A stream, as a [`StreamObserver`] is told of it.
#[derive(Clone)]
pub struct OpenStream {
    number: u64,
    subject: Option<Arc<str>>,
    topics: Topics,
}

impl OpenStream {
    /// By which it is known from its opening to its end. No other stream of this process has it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whose it is: whom the token or the application's session names. Nobody where the request was not authorised.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    pub(crate) fn shared_subject(&self) -> Option<&Arc<str>> {
        self.subject.as_ref()
    }

    /// Its topics; none of a stream of the application's own.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }
}

/// Neither who nor what.
impl fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStream").field("number", &self.number).finish_non_exhaustive()
    }
}

/// All who observe a server's streams.
pub(crate) type Observers = Arc<[Arc<dyn StreamObserver>]>;

/// An open stream, and who is told of it.
pub(super) struct Observed {
    observers: Observers,
    state: Mutex<State>,
}

struct State {
    stream: OpenStream,
    /// What is to be told, the newest of each kind: so there are never many.
    opens: bool,
    topics: Option<Topics>,
    version: u64,
    end: Option<EndReason>,
    /// After it nothing changes.
    is_over: bool,
    /// Somebody is just telling.
    busy: bool,
}

enum News {
    Opened,
    Changed(Topics),
    Ended(EndReason),
}

impl Observed {
    pub(super) fn new(observers: Observers, subject: Option<&str>, topics: Option<&Topics>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let stream = OpenStream {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            subject: subject.map(Arc::from),
            topics: topics.cloned().unwrap_or_else(|| Topics::of(Vec::new())),
        };
        let state =
            State { stream, opens: false, topics: None, version: 0, end: None, is_over: false, busy: false };
        Self { observers, state: Mutex::new(state) }
    }

    pub(super) fn opened(&self) {
        self.lock().opens = true;
        self.tell();
    }

    /// The topics as they are since this version. One that is not the newest says nothing.
    pub(super) fn has_topics(&self, version: u64, topics: Topics) {
        let mut state = self.lock();
        if version > state.version && !state.is_over {
            state.version = version;
            state.topics = Some(topics);
        }
        let is_over = state.is_over;
        drop(state);
        if !is_over {
            self.tell();
        }
    }

    pub(super) fn ended(&self, reason: EndReason) {
        let mut state = self.lock();
        state.end = Some(reason);
        state.is_over = true;
        drop(state);
        self.tell();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what is new, one thing after the other. Where another thread is just telling, it goes on with this.
    fn tell(&self) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.busy, true) {
            return;
        }
        while let Some(news) = state.news() {
            let stream = state.stream.clone();
            drop(state);
            for observer in &*self.observers {
                let told = catch_unwind(AssertUnwindSafe(|| match &news {
                    News::Opened => observer.opened(&stream),
                    News::Changed(before) => observer.changed(&stream, before),
                    News::Ended(reason) => observer.ended(&stream, *reason),
                }));
                if told.is_err() {
                    tracing::error!("an observer of event streams panicked");
                }
            }
            state = self.lock();
        }
        state.busy = false;
    }
}

impl State {
    fn news(&mut self) -> Option<News> {
        if std::mem::take(&mut self.opens) {
            return Some(News::Opened);
        }
        if let Some(topics) = self.topics.take()
            && topics != self.stream.topics
        {
            return Some(News::Changed(std::mem::replace(&mut self.stream.topics, topics)));
        }
        self.end.take().map(News::Ended)
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").finish_non_exhaustive()
    }
}
