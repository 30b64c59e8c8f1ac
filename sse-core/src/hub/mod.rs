//! [`Hub`]: publish to topics, subscribe to topics, come back and miss nothing.

mod builder;
mod feed;
mod filter_map;
mod handle;
mod inner;
mod keys;
mod lag;
mod parked;
mod received;
mod subscription;
mod wake;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::runtime;

pub use self::{
    builder::HubBuilder,
    feed::{BuildError, EngineHubBuilder},
    filter_map::FilterMap,
    handle::SubscriptionHandle,
    lag::{Lag, TopicStats},
    received::Received,
    subscription::Subscription,
};
use self::{feed::Feed, inner::Inner};
use crate::{
    engine::{Keep, Publication, Published},
    event::{Event, EventError},
    frame::Draft,
    id::EventId,
    lifecycle::Lifecycle,
    log::{Position, Start},
    metrics::{self, Count},
    options::StreamOptions,
    record::{Notice, Record},
    refusal::Refusal,
    request::Request,
    stream::EventStream,
    topic::{TopicError, Topics},
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
// One pointer: servers keep a copy of their handlers, and so of this, for every connection.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

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
    /// In memory it is done at once and never waits. With an [engine](HubBuilder::engine) it is done when the engine has
    /// accepted the event, which then comes to this node's subscribers as it comes to all others'. Events have the order
    /// in which their futures were awaited.
    ///
    /// Subscribers are woken by a task of their own runtime. A task that goes on computing after it has published
    /// holds up nobody as long as another thread of that runtime is free. On a runtime with one thread (each of
    /// actix-web's workers is one) its streams are sent nothing before the task awaits something or ends.
    ///
    /// # Errors
    /// [`PublishError`]; then nobody was sent anything, but for [`PublishError::Unknown`], which only an engine can bring.
    pub async fn publish<T>(
        &self,
        topics: T,
        event: impl TryInto<Event, Error: Into<EventError>>,
    ) -> Result<EventId, PublishError>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        let (topics, draft) = self.draft(topics, event)?;
        match &self.0.feed {
            None => Ok(self.0.append(&topics, draft)),
            Some(feed) => Ok(feed_event(feed, own_key(), &topics, &draft).await?.id),
        }
    }

    /// [`publish`](Self::publish), unless an event was published with this key in the last two minutes, or in the time
    /// for which the engine remembers keys: for whatever may be asked twice, as a request that is sent again or a message
    /// that a queue delivers again. On all nodes together one of several is published.
    ///
    /// A key is 1 to 128 bytes of `[!-~]`: `order/42/paid`. The first event counts, whatever the others hold. A hub in
    /// memory remembers the last 100,000 keys.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`PublishError::Key`]. After [`PublishError::Unknown`] it may be tried again with
    /// the same key, which tells.
    pub async fn publish_once<T>(
        &self,
        key: &str,
        topics: T,
        event: impl TryInto<Event, Error: Into<EventError>>,
    ) -> Result<Published, PublishError>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        if key.is_empty() || key.len() > MAX_KEY_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PublishError::Key);
        }
        let (topics, draft) = self.draft(topics, event)?;
        match &self.0.feed {
            None => Ok(self.0.append_once(key, &topics, draft)),
            Some(feed) => feed_event(feed, format!("k:{key}"), &topics, &draft).await,
        }
    }

    /// [`publish`](Self::publish) for code that is not `async`: a callback, a `Drop`. It waits for nothing, so `async`
    /// code may call it too.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`PublishError::MustWait`] where there is an engine.
    pub fn publish_now<T>(
        &self,
        topics: T,
        event: impl TryInto<Event, Error: Into<EventError>>,
    ) -> Result<EventId, PublishError>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        let (topics, draft) = self.draft(topics, event)?;
        match &self.0.feed {
            None => Ok(self.0.append(&topics, draft)),
            Some(_) => Err(PublishError::MustWait),
        }
    }

    /// [`publish`](Self::publish) for a thread that may wait: not one on which `async` code runs. In memory it waits for
    /// nothing.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`PublishError::MustWait`] on the only thread of the runtime in which the engine
    /// is followed.
    pub fn publish_blocking<T>(
        &self,
        topics: T,
        event: impl TryInto<Event, Error: Into<EventError>>,
    ) -> Result<EventId, PublishError>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        let (topics, draft) = self.draft(topics, event)?;
        match &self.0.feed {
            None => Ok(self.0.append(&topics, draft)),
            Some(feed) => {
                let publication = Publication::new(own_key(), Record::event(&topics, &draft));
                let published = Feed::publish_blocking(self, feed, publication)?;
                metrics::count(Count::Published);
                Ok(published.id)
            }
        }
    }

    /// What is to be published, if it may be.
    fn draft<T>(
        &self,
        topics: T,
        event: impl TryInto<Event, Error: Into<EventError>>,
    ) -> Result<(Topics, Draft), PublishError>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        let topics = topics.try_into().map_err(Into::into)?;
        let event = event.try_into().map_err(Into::into)?;
        if event.id.is_some() {
            return Err(PublishError::OwnId);
        }
        let limit = self.0.settings.max_event_bytes;
        let too_large = |size| Err(PublishError::TooLarge { size, limit });
        // What is too large before it is encoded is not.
        if event.data.len() > limit {
            return too_large(event.data.len());
        }
        let draft = Draft::new(&event);
        if draft.len() > limit {
            return too_large(draft.len());
        }
        Ok((topics, draft))
    }

    /// Tells the other nodes something that is no event.
    #[allow(dead_code, reason = "nobody has something to tell yet")]
    async fn tell(
        &self,
        key: String,
        notice: &Notice,
        keep: Option<Keep>,
    ) -> Result<Published, PublishError> {
        let feed = self.0.feed.as_ref().ok_or(PublishError::NotPublished)?;
        let mut publication = Publication::new(format!("n:{key}"), Record::notice(notice));
        publication.keep = keep;
        feed.publish(publication).await
    }

    /// Whether the server is to be sent requests: not after [`Lifecycle::stop`], and not when its engine has been away for
    /// [longer](EngineHubBuilder::unready_after). It is what the endpoint says by which a balancer goes.
    pub fn is_ready(&self) -> bool {
        self.lifecycle().is_ready() && self.0.feed.as_ref().is_none_or(Feed::is_ready)
    }

    /// In which runtime a publisher may be waited for, where it must be.
    pub(crate) fn waits_in(&self) -> Option<runtime::Handle> {
        self.0.feed.as_ref().map(Feed::runtime)
    }

    /// For how long its engine has not answered; `None` while it does, or where there is none.
    pub fn away_for(&self) -> Option<Duration> {
        self.0.feed.as_ref()?.away_for()
    }

    /// Opens the stream that answers a request: these topics, from the position that the client asks for. It
    /// takes a [`Request`], an authorised one, or what an adapter extracts.
    ///
    /// Whatever the client's `Last-Event-ID` holds, it gets a stream: what can be replayed is, what cannot is
    /// told as a gap. A request of another [`Lifecycle`] than the hub's opens a stream that counts with both, and
    /// ends when either stops.
    ///
    /// # Errors
    /// A [`Refusal`] for names that are not topics, for topics that an authorised request is not granted, when the
    /// server is stopping, and when a limit is reached.
    pub fn open<T>(
        &self,
        request: &impl AsRef<Request>,
        topics: T,
    ) -> Result<EventStream<Subscription>, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        self.open_as(request.as_ref(), topics, &self.0.settings.options)
    }

    /// [`open`](Self::open) with other options than the hub's, which [`stream_options`](Self::stream_options) are a
    /// start for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with<T>(
        &self,
        request: &impl AsRef<Request>,
        topics: T,
        options: StreamOptions,
    ) -> Result<EventStream<Subscription>, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        self.open_as(request.as_ref(), topics, &options)
    }

    fn open_as<T>(
        &self,
        request: &Request,
        topics: T,
        options: &StreamOptions,
    ) -> Result<EventStream<Subscription>, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        let topics = topics.try_into().map_err(|error| request.refuse(error.into()))?;
        request.admit(&topics)?;
        if !self.0.feed.as_ref().is_none_or(Feed::opens) {
            return Err(request.refuse_while_away(options.rhythm));
        }
        let start = match request.last_event_id() {
            None => Position::Server(options.start),
            Some(id) => Position::Client(id.as_client_id()),
        };
        let source = || Subscription::new(&self.0, &topics, start, options.policy());
        EventStream::from_source(request, Some(self.lifecycle()), Some(&topics), source, options)
    }

    /// The same, without keeping it.
    pub(crate) fn downgrade(&self) -> WeakHub {
        WeakHub(Arc::downgrade(&self.0))
    }

    /// How the hub's streams begin, live and end: the builder's
    /// [`stream_options`](HubBuilder::stream_options).
    pub fn stream_options(&self) -> StreamOptions {
        self.0.settings.options.clone()
    }

    /// Subscribes without a request: for WebSockets, tests, and whatever else reads events on this side. Handlers of
    /// event streams take [`open`](Self::open).
    ///
    /// The hub's [`on_gap`](StreamOptions::on_gap) and [`on_lag`](StreamOptions::on_lag) count here too, and so do caps
    /// on replay that it was given; the default cap does not.
    ///
    /// # Errors
    /// [`TopicError`] for names that are not topics.
    pub fn subscribe<T>(&self, topics: T, start: Start) -> Result<Subscription, TopicError>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        let topics = topics.try_into().map_err(Into::into)?;
        Ok(Subscription::new(&self.0, &topics, start.into(), self.0.settings.options.policy_of_reader()))
    }

    /// The position right behind the newest event.
    ///
    /// A page rendered by the server from the state as it is now passes this on as `?last_event_id=`, and its
    /// stream begins exactly where the page ends.
    pub fn position(&self) -> EventId {
        self.0.lock().log.head().id
    }

    /// The open streams of the server, and their end.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.0.settings.lifecycle
    }

    /// What the hub holds at this moment.
    pub fn stats(&self) -> Stats {
        let state = self.0.lock();
        Stats {
            events: state.log.events(),
            bytes: state.log.bytes(),
            topics: state.log.topics(),
            subscribers: state.slots.len(),
        }
    }
}

/// The longest key of an event that is to be published once.
const MAX_KEY_BYTES: usize = 128;

/// A key for what is published whatever else was.
fn own_key() -> String {
    format!("p:{:032x}", rand::random::<u128>())
}

/// Publishes an event to an engine.
async fn feed_event(
    feed: &Feed,
    key: String,
    topics: &Topics,
    draft: &Draft,
) -> Result<Published, PublishError> {
    let published = feed.publish(Publication::new(key, Record::event(topics, draft))).await?;
    if published.is_new {
        metrics::count(Count::Published);
    }
    Ok(published)
}

/// A hub that others keep.
#[derive(Clone, Debug)]
pub(crate) struct WeakHub(Weak<Inner>);

impl WeakHub {
    pub(crate) fn upgrade(&self) -> Option<Hub> {
        self.0.upgrade().map(Hub)
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
        &self.0.settings.lifecycle
    }
}

/// What a [`Hub`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events in memory: those that can be replayed, and what has expired since the last of them came.
    pub events: usize,
    /// Their encoded size.
    pub bytes: usize,
    /// Topics that have events or subscribers, or had some lately.
    pub topics: usize,
    /// Subscriptions.
    pub subscribers: usize,
}

/// Why an event was not published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The event has an id of its own; the hub gives ids.
    OwnId,
    /// The event is larger than the hub takes.
    TooLarge {
        /// Its bytes as they would be sent, without the id; of one that is much too large, those of its data
        /// alone.
        size: usize,
        /// Bytes that the hub takes.
        limit: usize,
    },
    /// The names are not topics.
    Topic(TopicError),
    /// The event could not be built.
    Event(EventError),
    /// The key is not 1 to 128 bytes of `[!-~]`.
    Key,
    /// The engine has not accepted the event, and will not: it is not published.
    NotPublished,
    /// It is not known whether the engine has accepted the event. Whoever must know publishes it
    /// [with a key](Hub::publish_once), and tries again.
    Unknown,
    /// Behind the hub stands an engine, for which this call cannot wait.
    MustWait,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnId => f.write_str("an event for the hub must not have an id of its own"),
            Self::TooLarge { size, limit } => {
                write!(f, "the event has {size} bytes, and at most {limit} are allowed")
            }
            Self::Topic(error) => error.fmt(f),
            Self::Event(error) => error.fmt(f),
            Self::Key => f.write_str("the key of an event must be 1 to 128 bytes of [!-~]"),
            Self::NotPublished => f.write_str("the event was not published: the engine has not accepted it"),
            Self::Unknown => f.write_str("it is not known whether the engine has accepted the event"),
            Self::MustWait => {
                f.write_str("the hub has an engine, for which must be waited: `publish(..).await`")
            }
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Topic(error) => Some(error),
            Self::Event(error) => Some(error),
            Self::OwnId
            | Self::TooLarge { .. }
            | Self::Key
            | Self::NotPublished
            | Self::Unknown
            | Self::MustWait => None,
        }
    }
}

impl From<TopicError> for PublishError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

impl From<EventError> for PublishError {
    fn from(error: EventError) -> Self {
        Self::Event(error)
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::OwnId | PublishError::Key | PublishError::MustWait => {
                Self::of(500, "The event could not be published.")
            }
            PublishError::NotPublished | PublishError::Unknown => {
                Self::sentence(503, &error).retry_after(Duration::from_secs(1))
            }
            PublishError::TooLarge { .. } => Self::sentence(413, &error),
            PublishError::Topic(error) => error.into(),
            PublishError::Event(error) => error.into(),
        }
    }
}
