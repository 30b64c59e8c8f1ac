//! [`Extracted`]: a request as a guard gives it, and what handlers do with it.

use std::ops::Deref;

use futures_core::Stream;
use sse_core::{
    Event, EventError, EventId, EventStream, Hub, Item, Request, Source, StreamOptions, TopicError,
    TopicPattern, Topics,
};

use crate::{Error, Sse};

/// What a handler is given of a request: [`SseRequest`](crate::SseRequest).
///
/// Whatever fails here fails with [`Error`], which is a `Responder` and turns into a `Status`: no handler has to
/// convert an error of `sse_core` by itself. What else a request has is that of the type inside, to which this
/// dereferences.
#[derive(Clone, Debug)]
pub struct Extracted<R>(pub(crate) R);

impl<R: AsRef<Request>> Extracted<R> {
    /// Opens a stream of a hub's topics, from where the client is: [`Hub::open`].
    ///
    /// # Errors
    /// As [`Hub::open`].
    pub fn subscribe<T>(&self, hub: &Hub, topics: T) -> Result<Sse, Error>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        Ok(Sse(hub.open(self, topics)?))
    }

    /// [`subscribe`](Self::subscribe) with other options than the hub's: [`Hub::open_with`].
    ///
    /// # Errors
    /// As [`Hub::open`].
    pub fn subscribe_with<T>(&self, hub: &Hub, topics: T, options: StreamOptions) -> Result<Sse, Error>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        Ok(Sse(hub.open_with(self, topics, options)?))
    }

    /// Opens a stream of the application's own events: [`EventStream::open`].
    ///
    /// # Errors
    /// As [`EventStream::open`].
    pub fn stream<S: Source>(&self, events: S) -> Result<Sse<S>, Error> {
        Ok(Sse(EventStream::open(self, events)?))
    }

    /// [`stream`](Self::stream) for `try_stream!`, in which any error may be passed on by `?`:
    /// [`EventStream::try_open`].
    ///
    /// # Errors
    /// As [`EventStream::open`].
    pub fn try_stream<S, T>(&self, events: S) -> Result<Sse<S>, Error>
    where
        S: Stream<Item = Result<T, Box<dyn std::error::Error + Send + Sync>>> + Source,
        T: Item,
    {
        Ok(Sse(EventStream::try_open(self, events)?))
    }

    /// [`stream`](Self::stream) with other options than the default: [`EventStream::open_with`].
    ///
    /// # Errors
    /// As [`EventStream::open`].
    pub fn stream_with<S: Source>(&self, events: S, options: StreamOptions) -> Result<Sse<S>, Error> {
        Ok(Sse(EventStream::open_with(self, events, options)?))
    }

    /// Publishes an event: [`Hub::publish`]. It may be the `Result` of building one, which is an error of this too.
    ///
    /// # Errors
    /// As [`Hub::publish`].
    pub async fn publish<T>(
        &self,
        hub: &Hub,
        topics: T,
        event: impl TryInto<Event, Error: Into<EventError>>,
    ) -> Result<EventId, Error>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        Ok(hub.publish(topics, event).await?)
    }
}

impl Extracted<Request> {
    /// The topics that the query asks for, or `default`, if all of them are allowed: [`Request::topics`].
    ///
    /// # Errors
    /// As [`Request::topics`].
    pub fn topics<T, I>(&self, default: T, allowed: I) -> Result<Topics, Error>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
        I: IntoIterator,
        I::Item: TryInto<TopicPattern>,
    {
        Ok(self.0.topics(default, allowed)?)
    }

    /// The topics that the query asks for, whatever they are: [`Request::any_topics`].
    ///
    /// # Errors
    /// As [`Request::any_topics`].
    pub fn any_topics<T>(&self, default: T) -> Result<Topics, Error>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        Ok(self.0.any_topics(default)?)
    }
}

#[cfg(feature = "auth")]
impl<U> Extracted<sse_core::Authorized<U>> {
    /// The topics themselves, if all of them are granted: [`sse_core::Authorized::granted`].
    ///
    /// # Errors
    /// As there.
    pub fn granted<T>(&self, topics: T) -> Result<Topics, Error>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        Ok(self.0.granted(topics)?)
    }

    /// The topics that the query asks for, if all of them are granted, or all that are granted by name:
    /// [`sse_core::Authorized::granted_topics`].
    ///
    /// # Errors
    /// As there.
    pub fn granted_topics(&self) -> Result<Topics, Error> {
        Ok(self.0.granted_topics()?)
    }

    /// A ticket for these topics: [`Auth::issue_ticket`](sse_core::Auth::issue_ticket).
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "jwt")]
    pub fn issue_ticket<T>(&self, auth: &sse_core::Auth, topics: T) -> Result<sse_core::Ticket, Error>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        Ok(auth.issue_ticket(&self.0, topics)?)
    }
}

impl<R: AsRef<Request>> AsRef<Request> for Extracted<R> {
    fn as_ref(&self) -> &Request {
        self.0.as_ref()
    }
}

impl<R> Deref for Extracted<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.0
    }
}
