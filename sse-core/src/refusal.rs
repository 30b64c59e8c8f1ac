//! The head of every answer: [`STREAM_HEADERS`] of one that opens, [`Refusal`] for one that does not.

use std::{borrow::Cow, fmt, time::Duration};

/// A header field: its name in lower case, and its value.
pub(crate) type Field = (&'static str, Cow<'static, str>);

/// The header fields of the `200` that opens a stream.
///
/// The media type bears no `charset` (Chromium drops a stream over an unusual spelling of it), nothing may
/// store or transform the body, and nginx is told not to buffer it. What compresses leaves alone what has an
/// encoding already, even where it heeds no `no-transform`: that is why the body says that it has none. There is
/// no `Connection` (HTTP/2 forbids it) and no `Content-Length`.
pub const STREAM_HEADERS: [(&str, &str); 5] = [
    ("content-type", "text/event-stream"),
    ("content-encoding", "identity"),
    ("cache-control", "no-store, no-transform"),
    ("x-accel-buffering", "no"),
    ("x-content-type-options", "nosniff"),
];

/// An answer other than a stream: a status, header fields and one plain sentence.
///
/// Every error of this crate that can reach a client turns into one; an adapter only renders it. A handler makes
/// its own by the name of the status, or by its number:
///
/// ```
/// use sse_core::Refusal;
///
/// fn job(number: u32, busy: bool) -> Result<u32, Refusal> {
///     if number > 100 {
///         return Err(Refusal::not_found("There is no such job."));
///     }
///     if busy {
///         return Err(Refusal::new(429, "Too many requests, please come back.")?.header("retry-after", "5")?);
///     }
///     Ok(number)
/// }
/// # assert_eq!(job(1, true).unwrap_err().status(), 429);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    headers: Vec<Field>,
    body: Cow<'static, str>,
    closes: bool,
}

impl Refusal {
    /// A refusal with this status and sentence, as plain text that nothing may store.
    ///
    /// # Errors
    /// [`RefusalError::Status`] for a number that is not a status, or for one that has no body to put the sentence in: 1xx, 204, 205
    /// and 304.
    pub fn new(status: u16, sentence: impl Into<Cow<'static, str>>) -> Result<Self, RefusalError> {
        match status {
            204 | 205 | 304 => Err(RefusalError::Status(status)),
            200..=599 => Ok(Self::of(status, sentence)),
            _ => Err(RefusalError::Status(status)),
        }
    }

    /// *400 Bad Request*.
    pub fn bad_request(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::of(400, sentence)
    }

    /// *403 Forbidden*.
    pub fn forbidden(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::of(403, sentence)
    }

    /// *404 Not Found*.
    pub fn not_found(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::of(404, sentence)
    }

    /// *413 Content Too Large*.
    pub fn too_large(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::of(413, sentence)
    }

    /// *500 Internal Server Error*. What went wrong belongs into the log, not into the sentence.
    pub fn internal_error(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::of(500, sentence)
    }

    /// [`new`](Self::new) with a status that is right.
    pub(crate) fn of(status: u16, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            headers: vec![
                ("content-type", Cow::Borrowed("text/plain; charset=utf-8")),
                ("cache-control", Cow::Borrowed("no-store")),
                ("x-content-type-options", Cow::Borrowed("nosniff")),
            ],
            body: sentence.into(),
            closes: false,
        }
    }

    /// *204 No Content*, which tells a browser's `EventSource` to stop reconnecting
    /// ([HTML §9.2.1](https://html.spec.whatwg.org/multipage/server-sent-events.html#server-sent-events-intro)):
    /// the answer to a client that has all of a stream with an end, and comes back for more.
    ///
    /// ```
    /// # use sse_core::{Event, EventStream, Refusal, Request, Source};
    /// # use futures_util::stream;
    /// fn ten(request: &Request) -> Result<EventStream<impl Source>, Refusal> {
    ///     let seen = request.last_event_id().and_then(|id| id.as_str()?.parse().ok()).unwrap_or(0);
    ///     if seen >= 10 {
    ///         return Err(Refusal::stop_reconnecting());
    ///     }
    ///     let rest = (seen + 1..=10).map(|n| Event::new("step").id(n.to_string()));
    ///     EventStream::open(request, stream::iter(rest))
    /// }
    /// ```
    pub fn stop_reconnecting() -> Self {
        Self::empty()
    }

    /// *204 No Content*: no sentence, and nothing that describes one.
    pub(crate) fn empty() -> Self {
        Self {
            status: 204,
            headers: vec![("cache-control", Cow::Borrowed("no-store"))],
            body: "".into(),
            closes: false,
        }
    }

    /// Makes an error's text the sentence.
    pub(crate) fn sentence(status: u16, error: &impl fmt::Display) -> Self {
        let text = error.to_string();
        let mut letters = text.chars();
        let sentence = match letters.next() {
            Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
            None => text,
        };
        Self::of(status, sentence)
    }

    /// *Come back after `retry`*, in the only form that a browser's `EventSource` obeys: a stream that ends
    /// at once. Any status but 200 would end it for good
    /// ([HTML §9.2.3](https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model)).
    pub(crate) fn come_back(retry: Duration) -> Self {
        Self {
            status: 200,
            headers: STREAM_HEADERS.iter().map(|&(name, value)| (name, Cow::Borrowed(value))).collect(),
            body: format!("retry: {}\n:\n", retry.as_millis()).into(),
            closes: false,
        }
    }

    /// *Unavailable, come back after `retry`*, for clients that read a status: 503 with `Retry-After`.
    pub(crate) fn unavailable(retry: Duration, sentence: &'static str) -> Self {
        Self::of(503, sentence).retry_after(retry)
    }

    /// With `Retry-After`, in whole seconds.
    pub(crate) fn retry_after(self, retry: Duration) -> Self {
        let seconds = retry.as_secs_f64().ceil().max(1.0);
        self.with("retry-after", format!("{seconds}"))
    }

    /// Adds a header field, or replaces it; the name in lower case.
    ///
    /// # Errors
    /// [`RefusalError::Name`] for what is no name in lower case, or the name of a field that is the server's own to
    /// set (`content-length`, `transfer-encoding`, `connection` and the like); [`RefusalError::Value`] for
    /// anything but printable ASCII, spaces and tabs.
    pub fn header(
        self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> Result<Self, RefusalError> {
        let value = value.into();
        let is_name = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        };
        if name.is_empty() || !name.bytes().all(is_name) || SERVERS_OWN.contains(&name) {
            return Err(RefusalError::Name(name));
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
            return Err(RefusalError::Value(name));
        }
        Ok(self.with(name, value))
    }

    /// [`header`](Self::header) with a field that is right.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.retain(|(present, _)| *present != name);
        self.headers.push((name, value.into()));
        self
    }

    /// The same, and the connection ends with it.
    pub(crate) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Whether the connection is to end with the answer, as while the server stops: a client that uses it again would
    /// come back to this server. Over HTTP/1.1 an adapter says so with `Connection: close`, which is not among the
    /// [`headers`](Self::headers): HTTP/2 forbids it.
    pub fn closes_connection(&self) -> bool {
        self.closes
    }

    /// The HTTP status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_ref()))
    }

    /// The body.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The body, owned.
    pub fn into_body(self) -> String {
        self.body.into_owned()
    }
}

/// Cookies are left out: frameworks log what a handler failed with.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value)| (name, if name == "set-cookie" { "…" } else { value });
        let headers: Vec<_> = self.headers().map(shown).collect();
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("headers", &headers)
            .field("body", &self.body)
            .finish()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.body.trim_end())
    }
}

impl std::error::Error for Refusal {}

/// Fields that say where a message ends, or what becomes of its connection.
const SERVERS_OWN: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a [`Refusal`] was not built. As a refusal it is a 500, so that `?` works in a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalError {
    /// Not the status of an answer with a body.
    Status(u16),
    /// Not the name of a header field in lower case, or one that only the server sets.
    Name(&'static str),
    /// The value of this header field is not printable ASCII.
    Value(&'static str),
}

impl fmt::Display for RefusalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(f, "{status} is not a status from 200 to 599 of an answer with a body")
            }
            Self::Name(name) if SERVERS_OWN.contains(name) => {
                write!(f, "the header field {name:?} is set by the server alone")
            }
            Self::Name(name) => write!(f, "{name:?} is not the name of a header field in lower case"),
            Self::Value(name) => {
                write!(f, "the value of the header field {name:?} must be printable ASCII")
            }
        }
    }
}

impl std::error::Error for RefusalError {}

impl From<RefusalError> for Refusal {
    fn from(error: RefusalError) -> Self {
        tracing::error!(%error, "an answer could not be built");
        Self::internal_error("The answer could not be built.")
    }
}

impl From<std::convert::Infallible> for Refusal {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_one_sentence() {
        let refusal = Refusal::sentence(400, &"a topic must not be empty");
        assert_eq!(refusal.to_string(), "400 A topic must not be empty.");
        let busy = Refusal::unavailable(Duration::from_millis(1200), "Stopping.");
        assert!(busy.headers().any(|field| field == ("retry-after", "2")));
    }

    #[test]
    fn what_cannot_stand_in_an_answer_is_refused_where_it_is_built() {
        for status in [0, 99, 100, 101, 199, 204, 205, 304, 600, 999, u16::MAX] {
            assert_eq!(Refusal::new(status, "No."), Err(RefusalError::Status(status)));
        }
        for status in [200, 203, 302, 400, 418, 599] {
            assert_eq!(Refusal::new(status, "No.").unwrap().status(), status);
        }
        let refusal = || Refusal::not_found("No.");
        for name in ["", "Retry-After", "a b", "a:", "a\r\nb", "é", "a\0", "content-length", "connection"] {
            let error = refusal().header(name, "x").unwrap_err();
            assert_eq!(error, RefusalError::Name(name));
            assert_eq!(error.to_string().contains("server"), SERVERS_OWN.contains(&name), "{error}");
        }
        for value in ["a\r\nset-cookie: b", "a\nb", "\0", "é", "\x7f"] {
            assert_eq!(refusal().header("x-a", value), Err(RefusalError::Value("x-a")));
        }
        let refusal = refusal().header("x-a", "a b\t~").unwrap().header("x-a", "").unwrap();
        assert_eq!(refusal.headers().filter(|field| *field == ("x-a", "")).count(), 1);
        assert_eq!(Refusal::from(RefusalError::Status(0)).status(), 500);
    }
}
