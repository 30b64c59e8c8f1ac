//! How events are published: [`Hub::publish`] and its like, and [`PublishError`].

use std::{fmt, time::Duration};

use super::{Hub, feed::Feed};
use crate::{
    engine::{Publication, Published},
    event::{Event, EventError},
    frame::Draft,
    id::EventId,
    record::Record,
    refusal::Refusal,
    topic::{TopicError, Topics},
};

/// The longest key of an event that is to be published once.
const MAX_KEY_BYTES: usize = 128;

impl Hub {
    /// Publishes an event to one or several topics and returns its id. A subscriber to several of them gets it
    /// once.
    ///
    /// In memory it is done at once and never waits. With an [engine](crate::HubBuilder::engine) it is done when the engine has
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
            Some(feed) => Ok(feed.publish_event(&self.0, publication(own_key(), &topics, &draft)).await?.id),
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
            Some(feed) => feed.publish_event(&self.0, publication(format!("k:{key}"), &topics, &draft)).await,
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
            Some(feed) => Ok(Feed::publish_blocking(self, feed, publication(own_key(), &topics, &draft))?.id),
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
}

/// A key for what is published whatever else was.
fn own_key() -> String {
    format!("p:{:032x}", rand::random::<u128>())
}

/// An event as an engine is given it.
fn publication(key: String, topics: &Topics, draft: &Draft) -> Publication {
    Publication::new(key, Record::event(topics, draft))
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
