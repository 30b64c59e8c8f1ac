//! [`Hub`]: publish to topics, subscribe to topics, come back and miss nothing.

mod builder;
mod feed;
mod filter_map;
mod handle;
mod inner;
mod keys;
mod lag;
mod parked;
mod publish;
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
    publish::PublishError,
    received::Received,
    subscription::Subscription,
};
use self::{feed::Feed, inner::Inner};
use crate::{
    id::EventId,
    lifecycle::Lifecycle,
    log::{Position, Start},
    options::StreamOptions,
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
        if let Some(feed) = &self.0.feed {
            if !feed.opens() {
                return Err(request.refuse_while_away(options.rhythm));
            }
            if !request.is_shared() {
                feed.warn_of_unshared();
            }
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
