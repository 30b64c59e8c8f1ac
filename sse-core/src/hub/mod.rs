//! [`Hub`]: publish to topics, subscribe to topics, come back and miss nothing.

mod cursor;
mod log;
#[cfg(test)]
mod model;
mod shared;
mod subscription;
mod tail;
mod wake;

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

pub use self::{
    cursor::{OnGap, Start},
    subscription::{Subscription, SubscriptionHandle},
};
use self::{
    cursor::{Policy, ReplayCap},
    log::{Limits, Log},
    shared::Shared,
};
use crate::{
    event::Event,
    frame::Draft,
    id::EventId,
    lifecycle::Lifecycle,
    options::StreamOptions,
    request::Request,
    response::Refusal,
    stream::EventStream,
    topic::{TopicError, TopicPattern, Topics},
};

/// Where events are published and clients subscribe. Cheap to clone; clones are one hub.
///
/// A hub is one ordered, bounded log of encoded events. A subscriber is a position in it: live delivery, replay
/// after a reconnect and catching up after a slow spell are the same thing, so nothing is sent twice and
/// nothing is left out between them. What had to be dropped is told by an `sse-gap` event.
///
/// ```
/// use sse_core::{Event, Hub};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::new();
/// let id = hub.publish("news", Event::new("hello").name("greeting")?).await?;
/// assert_eq!(hub.position(), id);
/// # Ok(()) }
/// ```
///
/// **Memory.** The log keeps at most 10,000 events, 16 MiB of them, and each for one hour, unless the
/// [builder](Self::builder) says otherwise. A client that stops reading costs its position and what the
/// framework has buffered for its socket; publishers never wait for it.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
    lifecycle: Lifecycle,
    options: StreamOptions,
    max_event_bytes: usize,
}

impl Hub {
    /// A hub in memory with the default limits.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A hub with limits and policies of your own.
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }

    /// Publishes an event to one or several topics and returns its id. A subscriber to several of them gets it
    /// once.
    ///
    /// In memory it is done at once and never waits; the future is for hubs behind which an engine stands.
    /// Events have the order in which their futures were awaited.
    ///
    /// # Errors
    /// [`PublishError`]; then nobody was sent anything.
    pub async fn publish<T>(&self, topics: T, event: impl Into<Event>) -> Result<EventId, PublishError>
    where
        T: TryInto<Topics>,
        PublishError: From<T::Error>,
    {
        self.publish_blocking(topics, event)
    }

    /// [`publish`](Self::publish) from a plain thread.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_blocking<T>(&self, topics: T, event: impl Into<Event>) -> Result<EventId, PublishError>
    where
        T: TryInto<Topics>,
        PublishError: From<T::Error>,
    {
        let topics = topics.try_into()?;
        let event = event.into();
        if event.id.is_some() {
            return Err(PublishError::OwnId);
        }
        let size = event.data.len() + event.comment.as_deref().map_or(0, str::len);
        if size > self.max_event_bytes {
            return Err(PublishError::TooLarge { size, limit: self.max_event_bytes });
        }
        Ok(self.shared.append(&topics, Draft::new(&event)))
    }

    /// Opens the stream that answers a request: these topics, from the position that the client asks for.
    ///
    /// Whatever the client's `Last-Event-ID` holds, it gets a stream: what can be replayed is, what cannot is
    /// told as a gap.
    ///
    /// # Errors
    /// A [`Refusal`] for topics that are none, for topics that an authorised request is not granted, and when
    /// the server is stopping.
    pub fn open<T>(&self, request: &Request, topics: T) -> Result<EventStream<Subscription>, Refusal>
    where
        T: TryInto<Topics>,
        Refusal: From<T::Error>,
    {
        let topics = topics.try_into().map_err(|error| request.refuse(error))?;
        request.admit(&topics)?;
        let start = Start::from(request.last_event_id());
        let source = || Subscription::new(&self.shared, &topics, start);
        EventStream::from_source(request, Some(&topics), source, self.options)
    }

    /// Subscribes without a request; [`open`](Self::open) is for handlers.
    ///
    /// # Errors
    /// [`TopicError`] for topics that are none.
    pub fn subscribe<T>(&self, topics: T, start: Start) -> Result<Subscription, TopicError>
    where
        T: TryInto<Topics>,
        TopicError: From<T::Error>,
    {
        let topics = topics.try_into()?;
        Ok(Subscription::new(&self.shared, &topics, start))
    }

    /// The position right behind the newest event.
    ///
    /// A page rendered by the server from the state as it is now passes this on as `?last_event_id=`, and its
    /// stream begins exactly where the page ends.
    pub fn position(&self) -> EventId {
        self.shared.lock().log.head().id
    }

    /// The open streams of the server, and their end.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// What the hub holds at this moment.
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        Stats {
            events: state.log.events(),
            bytes: state.log.bytes(),
            topics: state.log.topics(),
            subscribers: state.slots.len(),
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl AsRef<Lifecycle> for Hub {
    fn as_ref(&self) -> &Lifecycle {
        &self.lifecycle
    }
}

/// What a [`Hub`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events that can be replayed.
    pub events: usize,
    /// Their encoded size.
    pub bytes: usize,
    /// Topics that have events or subscribers, or had some lately.
    pub topics: usize,
    /// Subscriptions.
    pub subscribers: usize,
}

/// Limits and policies of a [`Hub`].
#[derive(Clone, Debug)]
pub struct HubBuilder {
    limits: Limits,
    max_event_bytes: usize,
    policy: Policy,
    positions: bool,
    latest: Vec<TopicPattern>,
    linger: Option<Duration>,
    options: StreamOptions,
    lifecycle: Lifecycle,
}

impl Default for HubBuilder {
    fn default() -> Self {
        Self {
            limits: Limits {
                events: 10_000,
                bytes: 16 << 20,
                age: Duration::from_secs(3600),
                per_topic: None,
                idle_topics: 10_000,
            },
            max_event_bytes: 256 << 10,
            policy: Policy { on_gap: OnGap::default(), replay: None },
            positions: true,
            latest: Vec::new(),
            linger: None,
            options: StreamOptions::new(),
            lifecycle: Lifecycle::new(),
        }
    }
}

impl HubBuilder {
    /// How many events are kept for replay, at least one (default 10,000).
    #[must_use]
    pub fn max_events(mut self, events: usize) -> Self {
        self.limits.events = events.max(1);
        self
    }

    /// How many bytes of encoded events are kept (default 16 MiB). The newest event is kept in any case.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// How long an event is kept (default 1 h).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.limits.age = age;
        self
    }

    /// How many events are kept of each topic (default: as many as the hub keeps in all), so that a busy topic
    /// cannot push out a quiet one's past.
    ///
    /// A cap, not a promise: the hub's own limits go first. An event on several topics stays as long as it is
    /// among the last of one of them.
    #[must_use]
    pub fn max_events_per_topic(mut self, events: usize) -> Self {
        self.limits.per_topic = Some(events.max(1));
        self
    }

    /// The largest event that may be published, in bytes of its data and comment (default 256 KiB).
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// Topics of which only the latest value counts: a progress, a price, a presence.
    ///
    /// A client that comes, or comes back, gets the present value first, and values that others have
    /// superseded are no loss to anybody. A value leaves with the hub's own limits like any event.
    #[must_use]
    pub fn latest(mut self, topics: TopicPattern) -> Self {
        self.latest.push(topics);
        self
    }

    /// What a stream does after a gap was told (default: goes on with everything that is still kept).
    #[must_use]
    pub fn on_gap(mut self, then: OnGap) -> Self {
        self.policy.on_gap = then;
        self
    }

    /// How much of the past one connection is sent, at least one event (default: all that is kept). A client
    /// that is owed more gets a clean end, comes back after its `retry`, and goes on where it was.
    #[must_use]
    pub fn max_replay(mut self, events: usize, bytes: usize) -> Self {
        self.policy.replay = Some(ReplayCap { events, bytes });
        self
    }

    /// Whether streams carry `sse-position` events (default: yes).
    ///
    /// Without them a client that is cut before its first event comes back without a position and misses what
    /// was published meanwhile.
    #[must_use]
    pub fn positions(mut self, on: bool) -> Self {
        self.positions = on;
        self
    }

    /// Merges events into fewer writes (default: off): the first goes out at once, and those that follow within
    /// this time go out together at its end. At most one second.
    ///
    /// For dashboards: at 500 events a second to 200 clients, 5 ms about halve the server's work and cost each
    /// event 2.5 ms in the mean. Where events are further apart than this, nothing is merged and they only come
    /// later. Under load events merge by themselves, without it.
    #[must_use]
    pub fn linger(mut self, within: Duration) -> Self {
        let within = within.min(Duration::from_secs(1));
        self.linger = (!within.is_zero()).then_some(within);
        self
    }

    /// Keep-alive, reconnection time and age of this hub's streams.
    #[must_use]
    pub fn stream_options(mut self, options: StreamOptions) -> Self {
        self.options = options;
        self
    }

    /// Shares the open streams with others that end when the server stops.
    #[must_use]
    pub fn lifecycle(mut self, lifecycle: &Lifecycle) -> Self {
        self.lifecycle = lifecycle.clone();
        self
    }

    /// The hub. Its log is empty and in a new epoch.
    pub fn build(self) -> Hub {
        let log = Log::new(self.limits, EventId::start(), false, true);
        Hub {
            shared: Arc::new(Shared::new(log, self.policy, self.positions, self.latest, self.linger)),
            lifecycle: self.lifecycle,
            options: self.options,
            max_event_bytes: self.max_event_bytes,
        }
    }
}

/// Why an event was not published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The event has an id of its own; the hub gives ids.
    OwnId,
    /// The event is larger than the hub takes.
    TooLarge {
        /// Bytes of its data and comment.
        size: usize,
        /// Bytes that the hub takes.
        limit: usize,
    },
    /// The topics are none.
    Topic(TopicError),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnId => f.write_str("an event for the hub must not have an id of its own"),
            Self::TooLarge { size, limit } => {
                write!(f, "the event has {size} bytes, and at most {limit} are allowed")
            }
            Self::Topic(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Topic(error) => Some(error),
            Self::OwnId | Self::TooLarge { .. } => None,
        }
    }
}

impl From<TopicError> for PublishError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

impl From<Infallible> for PublishError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::OwnId => Self::new(500, "The event could not be published."),
            PublishError::TooLarge { .. } => Self::sentence(413, &error),
            PublishError::Topic(error) => error.into(),
        }
    }
}
