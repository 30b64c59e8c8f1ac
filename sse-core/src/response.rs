//! The head of every answer: [`STREAM_HEADERS`] of one that opens, [`Refusal`] for one that does not.

use std::{borrow::Cow, fmt, time::Duration};

/// A header field: its name in lower case, and its value.
pub(crate) type Field = (&'static str, Cow<'static, str>);

/// The header fields of the `200` that opens a stream.
///
/// The media type bears no `charset` (Chromium drops a stream over an unusual spelling of it), nothing may
/// store or transform the body, and nginx is told not to buffer it. There is no `Connection` (HTTP/2 forbids
/// it) and no `Content-Length`.
pub const STREAM_HEADERS: [(&str, &str); 4] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store, no-transform"),
    ("x-accel-buffering", "no"),
    ("x-content-type-options", "nosniff"),
];

/// An answer other than a stream: a status, header fields and one plain sentence.
///
/// Every error of this crate that can reach a client turns into one; an adapter only renders it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    headers: Vec<Field>,
    body: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with this status and sentence, as plain text that nothing may store.
    pub fn new(status: u16, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            headers: vec![
                ("content-type", Cow::Borrowed("text/plain; charset=utf-8")),
                ("cache-control", Cow::Borrowed("no-store")),
                ("x-content-type-options", Cow::Borrowed("nosniff")),
            ],
            body: sentence.into(),
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
        Self { status: 204, headers: vec![("cache-control", Cow::Borrowed("no-store"))], body: "".into() }
    }

    /// Makes an error's text the sentence.
    pub(crate) fn sentence(status: u16, error: &impl fmt::Display) -> Self {
        let text = error.to_string();
        let mut letters = text.chars();
        let sentence = match letters.next() {
            Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
            None => text,
        };
        Self::new(status, sentence)
    }

    /// *Come back after `retry`*, in the only form that a browser's `EventSource` obeys: a stream that ends
    /// at once. Any status but 200 would end it for good
    /// ([HTML §9.2.3](https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model)).
    pub(crate) fn come_back(retry: Duration) -> Self {
        Self {
            status: 200,
            headers: STREAM_HEADERS.iter().map(|&(name, value)| (name, Cow::Borrowed(value))).collect(),
            body: format!("retry: {}\n:\n", retry.as_millis()).into(),
        }
    }

    /// *Unavailable, come back after `retry`*, for clients that read a status: 503 with `Retry-After`.
    pub(crate) fn unavailable(retry: Duration, sentence: &'static str) -> Self {
        let mut refusal = Self::new(503, sentence);
        let seconds = retry.as_secs_f64().ceil().max(1.0);
        refusal.headers.push(("retry-after", format!("{seconds}").into()));
        refusal
    }

    /// Adds a header field, or replaces it; the name in lower case.
    ///
    /// What cannot stand in a header is left out by the adapters.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.retain(|(present, _)| *present != name);
        self.headers.push((name, value.into()));
        self
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

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.body.trim_end())
    }
}

impl std::error::Error for Refusal {}

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
}
