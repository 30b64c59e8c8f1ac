//! [`EventReader`]: the events of an answer, one by one.

use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::time::{Instant, timeout_at};

use super::{
    decode::{ClientEvent, Decoder, NotUtf8},
    error::{Came, ReadError, ReadErrorKind},
};
use crate::{event, source::Source, stream::EventStream};

/// The events of an answer's body, for tests: decoded as a client does it, by a parser that is not the library's.
///
/// ```
/// use sse_core::{Event, EventStream, Lifecycle, Request, test::EventReader};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let request = Request::new(&http::Request::get("/").body(())?, &Lifecycle::new());
/// let steps = futures_util::stream::iter([Event::new("1").id("a")?, Event::new("").name("end")?]);
/// let mut events = EventReader::new(EventStream::open(&request, steps)?);
///
/// let first = events.next().await?;
/// assert_eq!((first.data.as_str(), first.last_event_id.as_str()), ("1", "a"));
/// let rest = events.rest().await?;
/// assert_eq!(rest.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["end"]);
/// # Ok(())
/// # }
/// ```
///
/// It takes a runtime of tokio with its timers on.
pub struct EventReader<S> {
    body: Pin<Box<S>>,
    decoder: Decoder,
    came: Came,
    bound: Duration,
    positions: bool,
    /// Of what was left out.
    retry: Option<Duration>,
    /// What the answer is, where it has no events.
    no_stream: Option<ReadErrorKind>,
    ended: Option<ReadErrorKind>,
}

/// For how long a reader waits, where nobody says otherwise.
const BOUND: Duration = Duration::from_secs(10);

impl<S: Source> EventReader<Body<S>> {
    /// Reads a stream of the library itself, without any framework.
    pub fn new(stream: EventStream<S>) -> Self {
        Self::from_body(Body { stream })
    }
}

impl<S, B, E> EventReader<S>
where
    S: Stream<Item = Result<B, E>>,
    B: AsRef<[u8]>,
    E: fmt::Display,
{
    /// Reads the body of an answer, of any server or client.
    pub fn from_body(body: S) -> Self {
        Self {
            body: Box::pin(body),
            decoder: Decoder::new(),
            came: Came::default(),
            bound: BOUND,
            positions: false,
            retry: None,
            no_stream: None,
            ended: None,
        }
    }

    /// [`from_body`](Self::from_body) of an answer whose head is known. One that is no event stream, because its
    /// status is not 200 or its content type another, has no events: reading one fails, and the error shows the answer.
    pub fn from_answer(status: u16, content_type: Option<&[u8]>, body: S) -> Self {
        let content_type = String::from_utf8_lossy(content_type.unwrap_or_default()).into_owned();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let is_stream = status == 200 && media_type.eq_ignore_ascii_case("text/event-stream");
        let no_stream = (!is_stream).then_some(ReadErrorKind::NoStream { status, content_type });
        Self { no_stream, ..Self::from_body(body) }
    }

    /// Waits this long for an event, or for the end, rather than 10 s. By tokio's clock, which a test may stop: then
    /// it goes on by itself where nothing else is due.
    #[must_use]
    pub fn within(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Gives the library's own `sse-position` too, which tells a client where it is when no event does.
    #[must_use]
    pub fn with_positions(mut self) -> Self {
        self.positions = true;
        self
    }

    /// The next event, of the application or an `sse-gap`. Comments and keep-alives are none, and time does not stop
    /// for them.
    ///
    /// That something is *not* sent is seen best by what comes next: publish it, then something that is sent.
    ///
    /// May be dropped and called again; nothing is lost.
    ///
    /// # Errors
    /// Where none comes within the [bound](Self::within), the stream ends, or the answer is none of events. The error
    /// shows what came.
    pub async fn next(&mut self) -> Result<ClientEvent, ReadError> {
        let until = self.until();
        self.next_until(until).await
    }

    /// The next so many events.
    ///
    /// # Errors
    /// As [`next`](Self::next), for any of them.
    pub async fn take(&mut self, count: usize) -> Result<Vec<ClientEvent>, ReadError> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await?);
        }
        Ok(events)
    }

    /// All events up to the end of the stream, where it has one.
    ///
    /// # Errors
    /// Where the stream has not ended within the [bound](Self::within), or as [`next`](Self::next).
    pub async fn rest(&mut self) -> Result<Vec<ClientEvent>, ReadError> {
        let until = self.until();
        let mut events = Vec::new();
        loop {
            match self.next_until(until).await {
                Ok(event) => events.push(event),
                Err(error) if *error.kind() == ReadErrorKind::Ended => return Ok(events),
                Err(error) => return Err(error),
            }
        }
    }

    // Never is far enough away.
    fn until(&self) -> Option<Instant> {
        Instant::now().checked_add(self.bound)
    }

    async fn next_until(&mut self, until: Option<Instant>) -> Result<ClientEvent, ReadError> {
        let read = match until {
            Some(until) => timeout_at(until, self.event()).await.ok(),
            None => Some(self.event().await),
        };
        let silent = || self.no_stream.clone().unwrap_or(ReadErrorKind::Silent(self.bound));
        read.unwrap_or_else(|| Err(silent())).map_err(|kind| ReadError::new(kind, &self.came))
    }

    async fn event(&mut self) -> Result<ClientEvent, ReadErrorKind> {
        if let Some(kind) = self.no_stream.clone() {
            // To show what it says instead.
            while self.read().await.is_ok() {}
            return Err(kind);
        }
        loop {
            while let Some(mut next) = self.decoder.next() {
                self.came.event();
                let left_out = self.retry.take();
                next.retry = next.retry.or(left_out);
                if self.positions || next.name != event::POSITION {
                    return Ok(next);
                }
                self.retry = next.retry;
            }
            self.read().await?;
        }
    }

    /// Takes the next bytes of the body.
    async fn read(&mut self) -> Result<(), ReadErrorKind> {
        if self.ended.is_none() {
            self.ended = match poll_fn(|cx| self.body.as_mut().poll_next(cx)).await {
                Some(Ok(chunk)) => {
                    self.came.bytes(chunk.as_ref());
                    let pushed = self.decoder.push(chunk.as_ref());
                    pushed.err().map(|NotUtf8| ReadErrorKind::Body("it is not UTF-8".to_owned()))
                }
                Some(Err(error)) => Some(ReadErrorKind::Body(error.to_string())),
                None => Some(ReadErrorKind::Ended),
            };
        }
        self.ended.clone().map_or(Ok(()), Err)
    }
}

impl<S> fmt::Debug for EventReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReader").field("bound", &self.bound).finish_non_exhaustive()
    }
}

pin_project! {
    /// An [`EventStream`] as a body that never fails.
    #[derive(Debug)]
    pub struct Body<S> {
        #[pin]
        stream: EventStream<S>,
    }
}

impl<S: Source> Stream for Body<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().stream.poll_next(cx).map(|chunk| chunk.map(Ok))
    }
}
