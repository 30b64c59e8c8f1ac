//! [`Event`]: what an application wants to say, checked where it is built.

use std::{borrow::Cow, fmt, time::Duration};

use serde::Serialize;

use crate::refusal::Refusal;

/// Names with this prefix are the library's own, and all of them are here.
const RESERVED_PREFIX: &str = "sse-";

/// Carries nothing but a position.
pub(crate) const POSITION: &str = "sse-position";

/// Says what could not be sent any more.
pub(crate) const GAP: &str = "sse-gap";

/// Says that the stream's authorisation is about to end.
pub(crate) const AUTH: &str = "sse-auth";

/// Longest event name and longest id, in bytes.
///
/// Browsers echo an id back in a request header, so an unbounded one would come back as a request that
/// servers refuse, and a refused request ends an `EventSource` for good.
pub const MAX_FIELD_BYTES: usize = 128;

/// The shortest and longest `retry` that a client is ever told: 100 ms and one day.
///
/// Never zero: Chromium takes `retry: 0` at its word and comes back after 5 ms.
pub(crate) const RETRY_LIMITS: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(86_400));

/// One server-sent event: data, and optionally a name, an id, a reconnection time and a comment.
///
/// ```
/// use sse_core::Event;
///
/// let event = Event::new("hello").name("greeting")?;
/// # Ok::<(), sse_core::EventError>(())
/// ```
///
/// Everything is checked here, where the event is built, so that encoding cannot fail and no value, however
/// hostile, can add a field or an event of its own
/// ([HTML §9.2.5](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)).
///
/// **What surprises.** A client joins the lines of `data` with LF: CR and CRLF arrive as LF. Send JSON where
/// every byte counts. Firefox drops NUL from data, Chromium keeps it.
///
/// # In a stream of your own
///
/// A stream may yield an `Event`, or a `Result` whose error ends the stream and is logged. [`json`](Self::json) and
/// [`typed`](Self::typed) return such a `Result`, so any `Serialize` can be yielded as it is:
///
/// ```
/// use sse_core::{Event, EventStream, Refusal, Request, Source};
///
/// fn count(request: &Request) -> Result<EventStream<impl Source>, Refusal> {
///     let numbers = async_stream::stream! {
///         for n in 1..=3 {
///             yield Event::json(&n);
///         }
///     };
///     EventStream::open(request, numbers)
/// }
/// ```
///
/// For `async_stream::try_stream!` there is [`EventStream::try_open`](crate::EventStream::try_open).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub(crate) data: String,
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) id: Option<Box<str>>,
    pub(crate) retry: Option<Duration>,
    pub(crate) comment: Option<Box<str>>,
}

impl Event {
    /// An event with this data and nothing else; clients see it as a `message`.
    ///
    /// Any text is valid, the empty one too: it arrives as an event whose data is empty.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), name: None, id: None, retry: None, comment: None }
    }

    /// An event whose data is `value` as JSON.
    ///
    /// # Errors
    /// [`EventError::Json`] when `value` cannot be serialized, such as a map whose keys are not strings.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, EventError> {
        serde_json::to_string(value).map(Self::new).map_err(|error| EventError::Json(error.to_string()))
    }

    /// Names the event: browsers deliver it to listeners of that name instead of `onmessage`.
    ///
    /// # Errors
    /// [`EventError::Name`] when the name is empty, longer than [`MAX_FIELD_BYTES`], holds CR, LF or NUL, is
    /// `open` or `error` (they fire `onopen` and `onerror` in browsers), or begins with `sse-`, which is kept
    /// for the library's own events. A name known at compile time is better checked by the compiler: see
    /// [`named`](Self::named).
    pub fn name(self, name: impl Into<String>) -> Result<Self, EventError> {
        Ok(self.named(EventName::try_from(name.into())?))
    }

    /// Names the event with a name that has been checked already.
    #[must_use]
    pub fn named(mut self, name: EventName) -> Self {
        self.name = Some(name.0);
        self
    }

    /// Gives the event an id of the application's own; a client sends it back as `Last-Event-ID`.
    ///
    /// For the application's own streams. Events published to a [`Hub`](crate::Hub) get the hub's ids, and
    /// `publish` refuses one that already has an id.
    ///
    /// # Errors
    /// [`EventError::Id`] when the id is empty, longer than [`MAX_FIELD_BYTES`], or holds anything but
    /// printable ASCII (`!` to `~`): other bytes come back in a header that servers refuse with 400, after
    /// which a browser never returns.
    pub fn id(mut self, id: impl Into<String>) -> Result<Self, EventError> {
        let id = id.into();
        let reason = if id.is_empty() {
            "must not be empty"
        } else if id.len() > MAX_FIELD_BYTES {
            "must not be longer than 128 bytes"
        } else if !id.bytes().all(|b| b.is_ascii_graphic()) {
            "must be printable ASCII without spaces"
        } else {
            self.id = Some(id.into_boxed_str());
            return Ok(self);
        };
        Err(EventError::Id(reason))
    }

    /// Tells the client how long to wait before it reconnects, from here on: between 100 ms and one day, as
    /// for [`StreamOptions::retry`](crate::StreamOptions::retry), in whole milliseconds. What is outside is set to the
    /// nearer of the two.
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        self.retry = Some(after.clamp(RETRY_LIMITS.0, RETRY_LIMITS.1));
        self
    }

    /// Puts a comment in front of the event: visible on the wire, never delivered by a client.
    #[must_use]
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Some(text.into().into_boxed_str());
        self
    }

    /// One of the library's own events, whose name users cannot take.
    pub(crate) fn reserved(name: &'static str, data: impl Into<String>) -> Self {
        debug_assert!(name.starts_with(RESERVED_PREFIX));
        Self { name: Some(Cow::Borrowed(name)), ..Self::new(data) }
    }
}

/// The name of an [`Event`], for [`named`](Event::named): browsers deliver such an event to
/// listeners of that name instead of `onmessage`.
///
/// It is not empty, not longer than [`MAX_FIELD_BYTES`], and has no CR, LF or NUL. It is neither `open` nor `error`,
/// which fire `onopen` and `onerror` in browsers, and does not begin with `sse-`, which is kept for the library's own
/// events.
///
/// ```
/// use sse_core::{Event, EventName};
///
/// const TICK: EventName = EventName::from_static("tick");
///
/// let event = Event::new("1").named(TICK);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventName(Cow<'static, str>);

impl EventName {
    /// `error`, for streams that really need it: those of several model vendors end with such an event.
    ///
    /// In a browser an `EventSource` hands it to the listeners of `error`, as it does the loss of a connection: they
    /// tell the two apart by whether there is `data`.
    pub const ERROR: Self = Self(Cow::Borrowed("error"));

    /// A name known at compile time. In a `const`, an invalid one does not compile.
    ///
    /// # Panics
    /// Outside a `const`, when the name is not valid. For a name that comes from elsewhere, use
    /// [`try_from`](Self::try_from).
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        match fault(name.as_bytes()) {
            None => Self(Cow::Borrowed(name)),
            #[expect(clippy::panic, reason = "documented, and an error of the compiler where it belongs")]
            Some(reason) => panic!("{}", reason),
        }
    }

    /// Checks a name, which may be one of the program's that was not written as a `const`.
    pub(crate) fn new(name: impl Into<Cow<'static, str>>) -> Result<Self, EventError> {
        let name = name.into();
        match fault(name.as_bytes()) {
            None => Ok(Self(name)),
            Some(reason) => Err(EventError::Name(reason)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with a name.
const fn fault(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        return Some("must not be empty");
    }
    if name.len() > MAX_FIELD_BYTES {
        return Some("must not be longer than 128 bytes");
    }
    let mut index = 0;
    while index < name.len() {
        if matches!(name[index], b'\r' | b'\n' | 0) {
            return Some("must not hold a line break or NUL");
        }
        index += 1;
    }
    if matches!(name, b"open" | b"error") {
        return Some("must not be `open` or `error`, which browsers fire themselves");
    }
    if matches!(name, [b's', b's', b'e', b'-', ..]) {
        return Some("must not begin with `sse-`");
    }
    None
}

impl TryFrom<String> for EventName {
    type Error = EventError;

    fn try_from(name: String) -> Result<Self, EventError> {
        Self::new(name)
    }
}

impl TryFrom<&str> for EventName {
    type Error = EventError;

    fn try_from(name: &str) -> Result<Self, EventError> {
        Self::new(name.to_owned())
    }
}

impl AsRef<str> for EventName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Event {
    fn from(data: &str) -> Self {
        Self::new(data)
    }
}

impl From<String> for Event {
    fn from(data: String) -> Self {
        Self::new(data)
    }
}

/// Why an [`Event`] could not be built, or not be read by [`parse`](Event::parse).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// The id is not one that clients can send back; the text says what it must be.
    Id(&'static str),
    /// The data could not be written as JSON; the text is the serializer's.
    Json(String),
    /// The name is not one that clients can be given; the text says what it must be.
    Name(&'static str),
    /// The value has no variant that could be the event's name: it is not an enum, or one that serde is told to
    /// represent in another way than its default.
    NotAnEnum,
    /// The data is not the content of the variant that has the event's name; the text is the deserializer's.
    Parse(String),
    /// No variant has the event's name; the text is the deserializer's.
    UnknownName(String),
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(reason) => write!(f, "an event id {reason}"),
            Self::Json(reason) => write!(f, "the event's data cannot be written as JSON: {reason}"),
            Self::Name(reason) => write!(f, "an event name {reason}"),
            Self::NotAnEnum => f.write_str("a typed event must be an enum in serde's default representation"),
            Self::Parse(reason) => write!(f, "the event's data is not what its name says: {reason}"),
            Self::UnknownName(reason) => write!(f, "the event's name is not known: {reason}"),
        }
    }
}

impl std::error::Error for EventError {}

/// So that what takes events takes the building of one too.
impl TryFrom<Result<Self, EventError>> for Event {
    type Error = EventError;

    fn try_from(built: Result<Self, EventError>) -> Result<Self, EventError> {
        built
    }
}

impl From<std::convert::Infallible> for EventError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// A bad name or id is the sender's mistake (400); data that cannot be written or read is the application's (500).
impl From<EventError> for Refusal {
    fn from(error: EventError) -> Self {
        match error {
            EventError::Json(_) | EventError::NotAnEnum => {
                Self::internal_error("The event could not be written.")
            }
            EventError::Parse(_) | EventError::UnknownName(_) => {
                Self::internal_error("The event could not be read.")
            }
            EventError::Id(_) | EventError::Name(_) => Self::sentence(400, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_forge_or_mislead_are_refused() {
        for name in ["", "a\nb", "a\rb", "a\0b", "open", "error", "sse-gap", "sse-", "x\n\ndata: forged"] {
            assert!(EventName::try_from(name).is_err(), "{name:?}");
            assert!(Event::new("").name(name).is_err(), "{name:?}");
        }
        assert!(EventName::try_from("x".repeat(129)).is_err());
        for name in ["message", " leading", "Öffnung", "a:b", "errors", "sse", &"x".repeat(128)] {
            assert_eq!(EventName::try_from(name).unwrap().as_str(), name);
            assert!(Event::new("").name(name).is_ok(), "{name:?}");
        }
        assert!(std::panic::catch_unwind(|| EventName::from_static("a\nb")).is_err());
    }

    #[test]
    fn a_name_of_the_program_needs_no_question_mark() {
        const TICK: EventName = EventName::from_static("tick");
        assert_eq!(Event::new("1").named(TICK), Event::new("1").name("tick").unwrap());
        assert_eq!(Event::new("").named(EventName::ERROR).name.as_deref(), Some("error"));
    }

    #[test]
    fn ids_are_printable_ascii() {
        for id in ["", "a b", "a\nb", "é", "\u{7f}", "\t"] {
            assert!(Event::new("").id(id).is_err(), "{id:?}");
        }
        assert!(Event::new("").id("!~:42").is_ok());
        assert!(Event::new("").id("x".repeat(129)).is_err());
    }

    #[test]
    fn json_that_fails_is_an_error() {
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(matches!(Event::json(&map), Err(EventError::Json(_))));
        assert_eq!(Event::json(&[1, 2]).unwrap().data, "[1,2]");
    }

    #[test]
    fn retry_is_clamped() {
        assert_eq!(RETRY_LIMITS.0, Duration::from_millis(100));
        assert_eq!(Event::new("").retry(Duration::ZERO).retry, Some(RETRY_LIMITS.0));
        assert_eq!(Event::new("").retry(Duration::MAX).retry, Some(RETRY_LIMITS.1));
    }
}
