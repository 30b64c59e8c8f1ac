//! What every adapter has alike, written once: [`extracted`](crate::extracted), what handlers are given of a request,
//! and [`adapter_error`](crate::adapter_error), what they fail with.

/// For adapters: makes the error that their handlers fail with, which every error of this crate turns into by `?`. The
/// adapter makes a response of the [`Refusal`](crate::Refusal) in it.
///
/// ```
/// sse_core::adapter_error! {
///     /// Any error of the library as a response.
///     pub struct Error
/// }
///
/// let error = Error::from(sse_core::Refusal::not_found("There is no such job."));
/// assert_eq!((error.refusal().status(), error.to_string().as_str()), (404, "404 There is no such job."));
/// ```
#[macro_export]
macro_rules! adapter_error {
    ($(#[$attribute:meta])* $vis:vis struct $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        $vis struct $name(pub(crate) $crate::Refusal);

        impl $name {
            /// What it is as an answer: a status, header fields and a sentence, for an error type of your own.
            pub fn refusal(&self) -> &$crate::Refusal {
                &self.0
            }
        }

        impl<E: Into<$crate::Refusal>> From<E> for $name {
            fn from(error: E) -> Self {
                Self(error.into())
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ::std::error::Error for $name {}
    };
}

/// For adapters: makes the type that their handlers are given of a request, so that it is the same in each.
///
/// The type is generic over what it holds, a [`Request`](crate::Request) or an `Authorized`. It opens streams and
/// publishes, and whatever fails fails with the adapter's own error, into which every error of this crate must turn
/// (`impl<E: Into<Refusal>> From<E>`). The reply is a tuple around an [`EventStream`](crate::EventStream). The adapter
/// needs the crate `futures-core`, and the features `auth` and `jwt` by these names.
///
/// ```
/// # mod adapter {
/// use sse_core::{EventStream, Request, Subscription};
///
/// sse_core::adapter_error! {
///     /// What a handler fails with.
///     pub struct Error
/// }
///
/// #[derive(Debug)]
/// pub struct Sse<S = Subscription>(pub EventStream<S>);
///
/// sse_core::extracted! {
///     /// What a handler is given of a request.
///     pub struct Extracted<Request>, Sse, Error
/// }
/// # }
/// ```
#[macro_export]
macro_rules! extracted {
    ($(#[$attribute:meta])* $vis:vis struct $name:ident<$request:ty>, $sse:ident, $error:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        $vis struct $name<R>(pub(crate) R);

        impl<R: AsRef<$crate::Request>> $name<R> {
            /// Opens a stream of a hub's topics, from where the client is: [`Hub::open`](sse_core::Hub::open).
            ///
            /// # Errors
            /// As [`Hub::open`](sse_core::Hub::open).
            pub fn subscribe<T>(&self, hub: &$crate::Hub, topics: T) -> Result<$sse, $error>
            where
                T: TryInto<$crate::Topics, Error: Into<$crate::TopicError>>,
            {
                Ok($sse(hub.open(self, topics)?))
            }

            /// [`subscribe`](Self::subscribe) with other options than the hub's:
            /// [`Hub::open_with`](sse_core::Hub::open_with).
            ///
            /// # Errors
            /// As [`Hub::open`](sse_core::Hub::open).
            pub fn subscribe_with<T>(&self, hub: &$crate::Hub, topics: T, options: $crate::StreamOptions) -> Result<$sse, $error>
            where
                T: TryInto<$crate::Topics, Error: Into<$crate::TopicError>>,
            {
                Ok($sse(hub.open_with(self, topics, options)?))
            }

            /// Opens a stream of the application's own events: [`EventStream::open`](sse_core::EventStream::open).
            ///
            /// # Errors
            /// As [`EventStream::open`](sse_core::EventStream::open).
            pub fn stream<S: $crate::Source>(&self, events: S) -> Result<$sse<S>, $error> {
                Ok($sse($crate::EventStream::open(self, events)?))
            }

            /// [`stream`](Self::stream) for `try_stream!`, in which any error may be passed on by `?`:
            /// [`EventStream::try_open`](sse_core::EventStream::try_open).
            ///
            /// # Errors
            /// As [`EventStream::open`](sse_core::EventStream::open).
            pub fn try_stream<S, T>(&self, events: S) -> Result<$sse<S>, $error>
            where
                S: ::futures_core::Stream<Item = Result<T, Box<dyn std::error::Error + Send + Sync>>> + $crate::Source,
                T: $crate::Item,
            {
                Ok($sse($crate::EventStream::try_open(self, events)?))
            }

            /// [`stream`](Self::stream) with other options than the default:
            /// [`EventStream::open_with`](sse_core::EventStream::open_with).
            ///
            /// # Errors
            /// As [`EventStream::open`](sse_core::EventStream::open).
            pub fn stream_with<S: $crate::Source>(&self, events: S, options: $crate::StreamOptions) -> Result<$sse<S>, $error> {
                Ok($sse($crate::EventStream::open_with(self, events, options)?))
            }

            /// Publishes an event: [`Hub::publish`](sse_core::Hub::publish). It may be the `Result` of building one, which
            /// is an error of this too.
            ///
            /// # Errors
            /// As [`Hub::publish`](sse_core::Hub::publish).
            pub async fn publish<T>(
                &self,
                hub: &$crate::Hub,
                topics: T,
                event: impl TryInto<$crate::Event, Error: Into<$crate::EventError>>,
            ) -> Result<$crate::EventId, $error>
            where
                T: TryInto<$crate::Topics, Error: Into<$crate::TopicError>>,
            {
                Ok(hub.publish(topics, event).await?)
            }
        }

        impl $name<$request> {
            /// The topics that the query asks for, or `default`, if all of them are allowed:
            /// [`Request::topics`](sse_core::Request::topics).
            ///
            /// # Errors
            /// As [`Request::topics`](sse_core::Request::topics).
            pub fn topics<T, I>(&self, default: T, allowed: I) -> Result<$crate::Topics, $error>
            where
                T: TryInto<$crate::Topics, Error: Into<$crate::TopicError>>,
                I: IntoIterator,
                I::Item: TryInto<$crate::TopicPattern>,
            {
                Ok(self.0.topics(default, allowed)?)
            }

            /// The topics that the query asks for, whatever they are:
            /// [`Request::any_topics`](sse_core::Request::any_topics).
            ///
            /// # Errors
            /// As [`Request::any_topics`](sse_core::Request::any_topics).
            pub fn any_topics<T>(&self, default: T) -> Result<$crate::Topics, $error>
            where
                T: TryInto<$crate::Topics, Error: Into<$crate::TopicError>>,
            {
                Ok(self.0.any_topics(default)?)
            }
        }

        #[cfg(feature = "auth")]
        impl<U> $name<$crate::Authorized<U>> {
            /// The topics themselves, if all of them are granted: [`sse_core::Authorized::granted`].
            ///
            /// # Errors
            /// As there.
            pub fn granted<T>(&self, topics: T) -> Result<$crate::Topics, $error>
            where
                T: TryInto<$crate::Topics, Error: Into<$crate::TopicError>>,
            {
                Ok(self.0.granted(topics)?)
            }

            /// The topics that the query asks for, if all of them are granted, or all that are granted by name:
            /// [`sse_core::Authorized::granted_topics`].
            ///
            /// # Errors
            /// As there.
            pub fn granted_topics(&self) -> Result<$crate::Topics, $error> {
                Ok(self.0.granted_topics()?)
            }

            /// A ticket for these topics: [`Auth::issue_ticket`](sse_core::Auth::issue_ticket).
            ///
            /// # Errors
            /// As there.
            #[cfg(feature = "jwt")]
            pub async fn issue_ticket<T>(&self, auth: &$crate::Auth, topics: T) -> Result<$crate::Ticket, $error>
            where
                T: TryInto<$crate::Topics, Error: Into<$crate::TopicError>>,
            {
                Ok(auth.issue_ticket(&self.0, topics).await?)
            }
        }

        impl<R: AsRef<$crate::Request>> AsRef<$crate::Request> for $name<R> {
            fn as_ref(&self) -> &$crate::Request {
                self.0.as_ref()
            }
        }

        impl<R> ::std::ops::Deref for $name<R> {
            type Target = R;

            fn deref(&self) -> &R {
                &self.0
            }
        }
    };
}
