//! [`EventStream`]: the body that every adapter sends, from the first byte to the end.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    batch::Batch,
    lease::Lease,
    lifecycle::Seat,
    options::StreamOptions,
    request::Request,
    response::{Refusal, STREAM_HEADERS},
    source::{Item, Source},
    topic::Topics,
};

/// A comment: the first bytes of every stream, so that the head passes every proxy and `onopen` fires, and
/// the keep-alive. One newline: a blank line makes some clients report an empty message.
const COMMENT: &[u8] = b":\n";

/// How many bytes [`EventStream`] gives at a time where nobody says otherwise.
const CHUNK: usize = 16 * 1024;

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
    #[must_use = "a stream does nothing unless it is sent"]
    pub struct EventStream<S> {
        #[pin]
        source: Option<S>,
        seat: Option<Seat>,
        // Of an authorised request: until when, and who may end it.
        lease: Option<Box<Lease>>,
        extra: Option<Box<ExtraHeaders>>,
        options: StreamOptions,
        opened: bool,
        stopping: bool,
        paused: bool,
        // An event that did not fit into the last chunk.
        held: Option<Box<Bytes>>,
        last_traffic: Instant,
        ends_at: Instant,
        // Made at the first poll: only there a runtime is certain.
        #[pin]
        timer: Option<Sleep>,
        // Who was registered with the timer and the lifecycle.
        waker: Option<Waker>,
    }
}

impl<S> EventStream<S>
where
    S: Stream,
    S::Item: Item,
{
    /// Opens a stream that is fed by the application itself: any [`Stream`] of
    /// [`Event`](crate::Event), [`Frame`](crate::Frame) or `Result<Event, E>`.
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
    /// A [`Refusal`] when the server is stopping, and when the request's token was revoked meanwhile.
    pub fn open(request: &Request, events: S) -> Result<Self, Refusal> {
        Self::open_with(request, events, StreamOptions::new())
    }

    /// [`open`](Self::open) with other times than the default.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(request: &Request, events: S, options: StreamOptions) -> Result<Self, Refusal> {
        Self::from_source(request, None, || events, options)
    }
}

impl<S: Source> EventStream<S> {
    /// Opens a stream on a source that is made only once nothing speaks against it.
    pub(crate) fn from_source(
        request: &Request,
        topics: Option<&Topics>,
        source: impl FnOnce() -> S,
        options: StreamOptions,
    ) -> Result<Self, Refusal> {
        // A HEAD gets the head of the answer, and holds nothing.
        let (source, seat, lease) = if request.is_head() {
            (None, None, None)
        } else {
            let seat = request.seat(&options)?;
            let lease = request.lease(topics)?;
            (Some(source()), Some(seat), lease)
        };
        let now = Instant::now();
        Ok(Self {
            source,
            seat,
            lease,
            extra: ExtraHeaders::of(request),
            options,
            opened: false,
            stopping: false,
            paused: false,
            held: None,
            last_traffic: now,
            ends_at: now + options.jittered_max_age(),
            timer: None,
            waker: None,
        })
    }

    /// What feeds it, until it ends.
    pub(crate) fn source(&self) -> Option<&S> {
        self.source.as_ref()
    }

    /// The header fields of the `200` that sends it: [`STREAM_HEADERS`], and what authorisation adds (CORS, a
    /// cookie).
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let extra = self.extra.iter().flat_map(|extra| &extra.0);
        STREAM_HEADERS.into_iter().chain(extra.map(|(name, value)| (*name, value.as_str())))
    }

    /// The next bytes: whole events, as many as are due and fit into `limit`, or one larger than that.
    /// Never empty; `None` is the end.
    ///
    /// For adapters that fill a buffer of their own.
    pub fn poll_chunk(self: Pin<&mut Self>, cx: &mut Context<'_>, limit: usize) -> Poll<Option<Bytes>> {
        let mut this = self.project();
        let Some(mut source) = this.source.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };

        // As long as the timer has not fired, nothing is due by the clock, and most often it is not even read.
        let calm = this.timer.as_ref().as_pin_ref().filter(|timer| *this.opened && !timer.is_elapsed());
        let calm = calm.map(|timer| timer.deadline());
        let stops = this.seat.as_ref().is_some_and(Seat::is_stopping);
        if stops && !std::mem::replace(this.stopping, true) {
            source.as_mut().finish();
        }
        let revoked = this.lease.as_ref().is_some_and(|lease| lease.is_revoked());
        let registered = this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let undisturbed = calm.filter(|_| !stops && !revoked && this.held.is_none());
        if undisturbed.is_some() && registered && source.is_asleep(cx.waker()) {
            return Poll::Pending;
        }
        // The wall clock decides over a token, and is looked at before anything is taken.
        let expired = this.lease.as_ref().is_some_and(|lease| lease.is_over());
        if let Some(before) = undisturbed
            && !expired
            && let Some(live) = source.as_mut().poll_live(cx, limit, before)
        {
            *this.paused = live.more;
            *this.last_traffic = live.at;
            return Poll::Ready(Some(live.bytes));
        }
        // Over means: nothing more, whether or not the source has more.
        let mut over = (calm.is_none() && Instant::now() >= *this.ends_at) || expired;
        let held = this.held.take().filter(|_| !over).map(|held| *held);
        let mut batch = Batch::earlier_than(calm, limit, held);
        if !over && !batch.is_full() {
            let idle = source.as_mut().poll_batch(cx, &mut batch).is_pending();
            over = stops && idle;
        }
        if stops && !S::OWES {
            over = true;
        }
        if let Some(lease) = this.lease
            && *this.opened
            && !over
            && !batch.is_ended()
            && let Some(notice) = lease.notice()
        {
            batch.force(notice.into_bytes());
        }
        if batch.is_empty() && !over && !batch.is_ended() {
            if calm.is_some() && registered && source.wake_at().is_none() {
                return Poll::Pending;
            }
            let now = batch.now();
            let tick = if !*this.opened {
                Some(source.as_mut().greeting())
            } else if now >= *this.last_traffic + this.options.keep_alive_after() {
                Some(source.as_mut().heartbeat())
            } else {
                None
            };
            match tick {
                Some(Some(frame)) => batch.push(frame.into_bytes()),
                Some(None) if *this.opened => batch.push(Bytes::from_static(COMMENT)),
                Some(None) => {}
                None => {
                    let target = [
                        Some(*this.last_traffic + this.options.keep_alive_after()),
                        Some(*this.ends_at),
                        source.wake_at(),
                        this.lease.as_mut().map(|lease| lease.wake_at(now)),
                    ];
                    let target = target.into_iter().flatten().min().unwrap_or(*this.ends_at);
                    if this.timer.is_none() {
                        this.timer.set(Some(sleep_until(target)));
                    }
                    let Some(mut timer) = this.timer.as_pin_mut() else {
                        return Poll::Pending;
                    };
                    // The timer stays where it was while events flow: one that fires early is set anew then.
                    let moved = timer.is_elapsed() || target < timer.deadline();
                    if moved {
                        timer.as_mut().reset(target);
                    }
                    if !registered {
                        *this.waker = Some(cx.waker().clone());
                        if let Some(seat) = this.seat {
                            seat.register(cx.waker());
                        }
                        if let Some(lease) = this.lease {
                            lease.register(cx.waker());
                        }
                    }
                    if (moved || !registered) && timer.as_mut().poll(cx).is_ready() {
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
            }
        }

        let ended = over || batch.is_ended();
        *this.paused = batch.is_full() && !ended;
        *this.last_traffic = batch.now();
        let (mut chunk, held) = batch.into_parts();
        *this.held = held.map(Box::new);
        // `retry` is never closed by a blank line of its own: a block of nothing else is an empty message to
        // some clients. At the start it belongs to the first event, at the end the client takes it by itself.
        let retry_line = || format!("retry: {}\n", this.options.jittered_retry().as_millis());
        if !std::mem::replace(this.opened, true) {
            chunk.prepend(&[COMMENT, retry_line().as_bytes()].concat());
        }
        if over || (stops && ended) {
            chunk.append(retry_line().into());
        }
        if ended {
            this.source.set(None);
            *this.seat = None;
            *this.lease = None;
            this.timer.set(None);
        }
        Poll::Ready((chunk.len() > 0).then(|| chunk.into_bytes()))
    }

    /// [`poll_chunk`](Self::poll_chunk), but after a full chunk pending once, with a wake-up: for servers that
    /// would otherwise poll one body until its socket is full, and let the others wait.
    pub fn poll_turn(mut self: Pin<&mut Self>, cx: &mut Context<'_>, limit: usize) -> Poll<Option<Bytes>> {
        if std::mem::replace(self.as_mut().project().paused, false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.poll_chunk(cx, limit)
    }
}

impl<S: Source> Stream for EventStream<S> {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_turn(cx, CHUNK)
    }
}

/// Header fields beyond those of every stream. Few streams have any, and all of them are counted in bytes.
struct ExtraHeaders(Vec<(&'static str, String)>);

impl ExtraHeaders {
    fn of(request: &Request) -> Option<Box<Self>> {
        let headers = request.response_headers().map(|(name, value)| (name, value.to_owned()));
        let headers: Vec<_> = headers.collect();
        (!headers.is_empty()).then(|| Box::new(Self(headers)))
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
