//! [`EventStream`]: the body that every adapter sends, from the first byte to the end.

mod async_read;
mod extra;
mod parts;

use std::{
    borrow::Cow,
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

pub use self::async_read::IntoAsyncRead;
use self::extra::Extra;
use crate::{
    lifecycle::{Lifecycle, Permit},
    options::{Rhythm, StreamOptions},
    refusal::{Refusal, STREAM_HEADERS},
    request::Request,
    source::{Item, Source},
    topic::Topics,
};

/// A comment: the first bytes of every stream, so that the head passes every proxy and `onopen` fires, and
/// the keep-alive. One newline: a blank line makes some clients report an empty message.
const COMMENT: &[u8] = b":\n";

/// How many bytes [`EventStream`] gives at a time where nobody says otherwise.
const CHUNK: usize = 16 * 1024;

/// How many bytes a turn gives to who is [`FAR`] behind: about as many as the frameworks write at a time.
const LONG_TURN: usize = 32 * 1024;

/// After how many pages of 4 KiB in a row a stream counts as far behind. One that is not keeps no larger buffer.
const FAR: u8 = 4;

pin_project! {
    /// The body of an answer: a comment at once, then events as they come, keep-alives while there are none,
    /// and an end.
    ///
    /// It is fed by a [`Hub`](crate::Hub)'s subscription ([`Hub::open`](crate::Hub::open)) or by any stream of
    /// the application's own ([`open`](Self::open)). As a [`Stream`] of bytes it can be the body of any HTTP
    /// server; the adapters turn it into their framework's.
    ///
    /// It ends when its source ends, at its maximum age, and when the server stops; an authorised one also
    /// when its token expires or is revoked. A client of either kind reconnects then, unless it was told by an
    /// event of yours that all is said.
    ///
    /// It may move from task to task and from runtime to runtime: who polled last is woken, by a timer of the
    /// runtime that it polled in. Outside any runtime it works too, but for the clock: what is due by it (keep-alive,
    /// maximum age, a token's expiry) is found when something else has the stream polled. A runtime must have its
    /// timers on (`enable_time`).
    #[must_use = "a stream does nothing unless it is sent"]
    #[project = Parts]
    pub struct EventStream<S> {
        #[pin]
        source: Option<S>,
        permit: Option<Permit>,
        // Who polls: registered with everything that may wake the stream.
        waker: Option<Waker>,
        // Made once the stream has opened: only in a poll a runtime is certain.
        #[pin]
        timer: Option<Sleep>,
        last_traffic: Instant,
        ends_at: Instant,
        rhythm: Rhythm,
        opened: bool,
        stopping: bool,
        paused: bool,
        // How many pages it was given in turns that left more.
        behind: u8,
        extra: Option<Box<Extra>>,
    }
}

impl<S: Source> EventStream<S> {
    /// Opens a stream that is fed by the application itself: any [`Stream`] of [`Event`](crate::Event),
    /// [`Frame`](crate::Frame), text, or a `Result` of these; or a [`Subscription`](crate::Subscription) with a start of
    /// its own, which [`Hub::open`](crate::Hub::open) opens from where the client is.
    ///
    /// An error ends the stream cleanly and is logged; the client is not told what it was.
    ///
    /// ```
    /// use sse_core::{Event, EventStream, Refusal, Request};
    ///
    /// fn count(request: &Request) -> Result<EventStream<impl futures_core::Stream<Item = Event>>, Refusal> {
    ///     let numbers = async_stream::stream! {
    ///         for n in 1..=3 {
    ///             yield Event::new(n.to_string());
    ///         }
    ///     };
    ///     EventStream::open(request, numbers)
    /// }
    /// ```
    ///
    /// # Errors
    /// A [`Refusal`] when the server is stopping or a limit is reached, and when the request's token was revoked
    /// meanwhile or does not grant the topics of a subscription.
    pub fn open(request: &impl AsRef<Request>, events: S) -> Result<Self, Refusal> {
        Self::open_with(request, events, StreamOptions::new())
    }

    /// [`open`](Self::open) with other options than the default. Where a subscription begins, what follows a gap and
    /// how much it is sent of the past are its own all the same.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        request: &impl AsRef<Request>,
        events: S,
        options: StreamOptions,
    ) -> Result<Self, Refusal> {
        let request = request.as_ref();
        let Some((topics, lifecycle)) = events.origin() else {
            return Self::from_source(request, None, None, || events, &options);
        };
        let lifecycle = lifecycle.clone();
        request.admit(&topics)?;
        Self::from_source(request, Some(&lifecycle), Some(&topics), || events, &options)
    }

    /// [`open`](Self::open) for `try_stream!`, whose `?` needs to know what it turns errors into: any error, boxed.
    ///
    /// ```
    /// use async_stream::try_stream;
    /// use sse_core::{Event, EventStream, Refusal, Request, Source};
    ///
    /// fn lines(request: &Request, path: String) -> Result<EventStream<impl Source + use<>>, Refusal> {
    ///     EventStream::try_open(request, try_stream! {
    ///         for line in tokio::fs::read_to_string(path).await?.lines() {
    ///             yield Event::new(line).name("line")?;
    ///         }
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn try_open<T>(request: &impl AsRef<Request>, events: S) -> Result<Self, Refusal>
    where
        S: Stream<Item = Result<T, Box<dyn std::error::Error + Send + Sync>>>,
        T: Item,
    {
        Self::open(request, events)
    }

    /// Opens a stream on a source that is made only once nothing speaks against it. It is one of the open streams
    /// of the request's server, and of `lifecycle`, where that is another.
    pub(crate) fn from_source(
        request: &Request,
        lifecycle: Option<&Lifecycle>,
        topics: Option<&Topics>,
        source: impl FnOnce() -> S,
        options: &StreamOptions,
    ) -> Result<Self, Refusal> {
        request.check_topics(lifecycle, topics, options)?;
        // A HEAD gets the head of the answer, and holds nothing.
        let (source, permit, other, lease) = if request.is_head() {
            (None, None, None, None)
        } else {
            let (permit, other) = request.permits(lifecycle, S::OWES, topics, options)?;
            let lease = request.lease(topics)?;
            let source = source();
            let permit = permit.with_life(request.life(topics));
            if let Some(life) = permit.shared_life() {
                source.begins(life);
            }
            (Some(source), Some(permit), other, lease)
        };
        let extra = Extra {
            lease,
            permit: other,
            held: None,
            headers: request.fields().into(),
            keep_alive: options.keep_alive_event.as_ref().map(|frame| frame.as_bytes().clone()),
            farewell: options.farewell.as_ref().map(|frame| frame.as_bytes().clone()),
        };
        let now = Instant::now();
        let ends_at = now + options.jittered_max_age();
        extra.hold(source.as_ref(), permit.as_ref(), ends_at);
        Ok(Self {
            source,
            permit,
            waker: None,
            timer: None,
            last_traffic: now,
            ends_at,
            rhythm: options.rhythm,
            opened: false,
            stopping: false,
            paused: false,
            behind: 0,
            extra: extra.boxed(),
        })
    }

    /// The same stream, fed otherwise.
    pub(crate) fn map_source<T>(self, map: impl FnOnce(S) -> T) -> EventStream<T> {
        let Self {
            source,
            permit,
            waker,
            timer,
            last_traffic,
            ends_at,
            rhythm,
            opened,
            stopping,
            paused,
            behind,
            extra,
        } = self;
        let source = source.map(map);
        EventStream {
            source,
            permit,
            waker,
            timer,
            last_traffic,
            ends_at,
            rhythm,
            opened,
            stopping,
            paused,
            behind,
            extra,
        }
    }

    /// What feeds it, until it ends.
    pub(crate) fn source(&self) -> Option<&S> {
        self.source.as_ref()
    }

    /// The header fields of the `200` that sends it: [`STREAM_HEADERS`], and what authorisation adds (CORS, a
    /// cookie).
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
        let own = self.extra.iter().flat_map(|extra| extra.headers.iter().cloned());
        STREAM_HEADERS.into_iter().map(|(name, value)| (name, value.into())).chain(own)
    }

    /// For adapters whose framework notices only by writing that a client has gone; `user_timeout` is that of the
    /// listener (`ListenOptions::user_timeout`), zero where it is not known.
    /// With [`StreamOptions::no_keep_alive`] nothing changes.
    ///
    /// - The first keep-alives come early: where nothing else is sent, when the stream is 1, 2, 4, 8 and 16 s old. One
    ///   that was left lives no longer after that than it did before, so that those who open one and leave at once do
    ///   not pile up.
    /// - Those that follow come denser than the options say, where that is what it takes. A host that vanishes without a
    ///   word is written to within one keep-alive, the system gives its connection up a user timeout later, and only the
    ///   next keep-alive shows it. With K as the options have it and T as the timeout they come after
    ///   min(K, (11 K + T) / 20), so that it is noticed within K + T and a tenth: 12.75 s where K is 15 and T is 90.
    pub fn noticed_by_writing(mut self, user_timeout: Duration) -> Self {
        self.rhythm.find_by_writing(user_timeout);
        self
    }

    /// The next bytes: whole events, as many as are due and fit into `limit`, or one larger than that.
    /// Never empty; `None` is the end.
    ///
    /// For adapters that fill a buffer of their own.
    pub fn poll_chunk(mut self: Pin<&mut Self>, cx: &mut Context<'_>, limit: usize) -> Poll<Option<Bytes>> {
        let this = self.as_mut().project();
        let mut expired = None;
        if let Some(timer) = this.timer.as_ref().as_pin_ref()
            && !timer.is_elapsed()
            && this.is_registered(cx)
            && !this.permit.as_ref().is_some_and(Permit::is_stopping)
            && this.extra.as_ref().is_none_or(|extra| extra.is_calm())
            && let Some(mut source) = this.source.as_pin_mut()
        {
            if source.is_asleep() {
                return Poll::Pending;
            }
            // The wall clock decides over a token, and is looked at before anything is taken.
            let over = this.extra.as_ref().is_some_and(|extra| extra.is_over());
            if !over && let Some(live) = source.as_mut().poll_live(cx, limit, timer.deadline()) {
                *this.paused = live.more;
                *this.last_traffic = live.at;
                if let Some(life) = this.permit.as_ref().and_then(Permit::life) {
                    life.gave(live.events, live.bytes.len());
                }
                return Poll::Ready(Some(live.bytes));
            }
            expired = Some(over);
        }
        self.poll_any(cx, limit, expired)
    }

    /// [`poll_chunk`](Self::poll_chunk) for whatever is not the usual case. `expired` tells of the token, where it
    /// was looked at.
    #[inline(never)]
    fn poll_any(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        limit: usize,
        expired: Option<bool>,
    ) -> Poll<Option<Bytes>> {
        let mut this = self.project();
        if this.source.is_none() {
            return Poll::Ready(None);
        }
        let registered = this.register(cx);
        if this.is_held_up(cx) {
            return Poll::Pending;
        }
        // As long as the timer has not fired, nothing is due by the clock, and most often it is not even read.
        let calm = this.timer.as_ref().as_pin_ref().filter(|timer| !timer.is_elapsed());
        let calm = calm.map(|timer| timer.deadline());
        let (mut batch, over) = this.gather(cx, limit, calm, expired);
        if batch.is_empty() && over.is_none() && !batch.is_ended() {
            if calm.is_some() && registered && this.source_wakes_at().is_none() {
                return Poll::Pending;
            }
            let now = batch.now();
            if !this.tick(now, &mut batch) {
                this.sleep(now, cx);
                return Poll::Pending;
            }
        }
        Poll::Ready(this.seal(batch, over))
    }

    /// Whether the last chunk left something that may be due too. For adapters that fill a buffer of their own;
    /// the next poll may be pending all the same.
    pub fn has_more(&self) -> bool {
        self.paused
    }

    /// [`poll_chunk`](Self::poll_chunk), but after a full chunk pending once, with a wake-up: for servers that
    /// would otherwise poll one body until its socket is full, and let the others wait.
    ///
    /// Who has been given 16 KiB in such turns, and is owed more, is given up to 32 KiB in the next: a crowd that is far
    /// behind, as one that reads nothing is until its sockets are full, takes fewer rounds and writes, and the others wait
    /// for it less.
    pub fn poll_turn(mut self: Pin<&mut Self>, cx: &mut Context<'_>, limit: usize) -> Poll<Option<Bytes>> {
        let this = self.as_mut().project();
        if std::mem::replace(this.paused, false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let limit = if *this.behind < FAR { limit } else { limit.max(LONG_TURN) };
        let polled = self.as_mut().poll_chunk(cx, limit);
        let this = self.project();
        *this.behind = match &polled {
            Poll::Ready(Some(chunk)) if *this.paused => {
                let pages = u8::try_from(1 + chunk.len() / 4096).unwrap_or(u8::MAX);
                this.behind.saturating_add(pages)
            }
            _ => 0,
        };
        polled
    }
}

impl<S: Source> Stream for EventStream<S> {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_turn(cx, CHUNK)
    }
}

impl<S> fmt::Debug for EventStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("opened", &self.opened)
            .field("ended", &self.source.is_none())
            .finish_non_exhaustive()
    }
}
