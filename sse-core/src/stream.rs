//! [`EventStream`]: the body that every adapter sends, from the first byte to the end.

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    batch::Batch,
    frame::Frame,
    lease::Lease,
    lifecycle::{Lifecycle, Seat},
    options::{Rhythm, StreamOptions},
    request::Request,
    response::{Field, Refusal, STREAM_HEADERS},
    source::Source,
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
        seat: Option<Seat>,
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
        rare: Option<Box<Rare>>,
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
    /// A [`Refusal`] when the server is stopping, and when the request's token was revoked meanwhile or does not
    /// grant the topics of a subscription.
    pub fn open(request: &impl AsRef<Request>, events: S) -> Result<Self, Refusal> {
        Self::open_with(request, events, StreamOptions::new())
    }

    /// [`open`](Self::open) with other options than the default.
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

    /// Opens a stream on a source that is made only once nothing speaks against it. It is one of the open streams
    /// of the request's server, and of `lifecycle`, where that is another.
    pub(crate) fn from_source(
        request: &Request,
        lifecycle: Option<&Lifecycle>,
        topics: Option<&Topics>,
        source: impl FnOnce() -> S,
        options: &StreamOptions,
    ) -> Result<Self, Refusal> {
        // A HEAD gets the head of the answer, and holds nothing.
        let (source, seat, other, lease) = if request.is_head() {
            (None, None, None, None)
        } else {
            let (seat, other) = request.seats(lifecycle, options.rhythm)?;
            let lease = request.lease(topics)?;
            (Some(source()), Some(seat), other, lease)
        };
        let rare = Rare {
            lease,
            seat: other,
            held: None,
            headers: request.fields().into(),
            keep_alive: options.keep_alive_event.as_ref().map(|frame| frame.as_bytes().clone()),
        };
        let now = Instant::now();
        Ok(Self {
            source,
            seat,
            waker: None,
            timer: None,
            last_traffic: now,
            ends_at: now + options.jittered_max_age(),
            rhythm: options.rhythm,
            opened: false,
            stopping: false,
            paused: false,
            rare: rare.boxed(),
        })
    }

    /// The same stream, fed otherwise.
    pub(crate) fn map_source<T>(self, map: impl FnOnce(S) -> T) -> EventStream<T> {
        let Self {
            source,
            seat,
            waker,
            timer,
            last_traffic,
            ends_at,
            rhythm,
            opened,
            stopping,
            paused,
            rare,
        } = self;
        let source = source.map(map);
        EventStream {
            source,
            seat,
            waker,
            timer,
            last_traffic,
            ends_at,
            rhythm,
            opened,
            stopping,
            paused,
            rare,
        }
    }

    /// What feeds it, until it ends.
    pub(crate) fn source(&self) -> Option<&S> {
        self.source.as_ref()
    }

    /// The header fields of the `200` that sends it: [`STREAM_HEADERS`], and what authorisation adds (CORS, a
    /// cookie).
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
        let own = self.rare.iter().flat_map(|rare| rare.headers.iter().cloned());
        STREAM_HEADERS.into_iter().map(|(name, value)| (name, value.into())).chain(own)
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
            && !this.seat.as_ref().is_some_and(Seat::is_stopping)
            && this.rare.as_ref().is_none_or(|rare| rare.is_calm())
            && let Some(mut source) = this.source.as_pin_mut()
        {
            if source.is_asleep() {
                return Poll::Pending;
            }
            // The wall clock decides over a token, and is looked at before anything is taken.
            let over = this.rare.as_ref().is_some_and(|rare| rare.is_over());
            if !over && let Some(live) = source.as_mut().poll_live(cx, limit, timer.deadline()) {
                *this.paused = live.more;
                *this.last_traffic = live.at;
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
        // As long as the timer has not fired, nothing is due by the clock, and most often it is not even read.
        let calm = this.timer.as_ref().as_pin_ref().filter(|timer| !timer.is_elapsed());
        let calm = calm.map(|timer| timer.deadline());
        let (mut batch, over) = this.gather(cx, limit, calm, expired);
        if batch.is_empty() && !over && !batch.is_ended() {
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
    pub fn poll_turn(mut self: Pin<&mut Self>, cx: &mut Context<'_>, limit: usize) -> Poll<Option<Bytes>> {
        if std::mem::replace(self.as_mut().project().paused, false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.poll_chunk(cx, limit)
    }
}

impl<S: Source> Parts<'_, S> {
    /// Whether this task is the one that is woken.
    #[inline]
    fn is_registered(&self, cx: &Context<'_>) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// Has this task woken by whatever may wake the stream. Whether it was registered already.
    fn register(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_registered(cx) {
            return true;
        }
        let before = self.waker.replace(cx.waker().clone());
        self.seats().for_each(|seat| seat.register(cx.waker()));
        if let Some(lease) = self.lease() {
            lease.register(cx.waker());
        }
        if before.is_some() {
            // It may be in another runtime by now, and the first stand still or be gone, its timers with it.
            self.timer.set(None);
            if let Some(source) = self.source.as_mut().as_pin_mut() {
                source.moved();
            }
        }
        false
    }

    /// Its places among the open streams.
    fn seats(&self) -> impl Iterator<Item = &Seat> {
        let other = self.rare.as_ref().and_then(|rare| rare.seat.as_ref());
        self.seat.iter().chain(other)
    }

    /// What is due, and whether the stream is over: then nothing more is sent, even if the source has more.
    fn gather(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        calm: Option<Instant>,
        expired: Option<bool>,
    ) -> (Batch, bool) {
        let expired = expired.unwrap_or_else(|| self.rare.as_ref().is_some_and(|rare| rare.is_over()));
        let mut over = (calm.is_none() && Instant::now() >= *self.ends_at) || expired;
        let held = self.rare.as_mut().and_then(|rare| rare.held.take()).filter(|_| !over);
        let mut batch = Batch::earlier_than(calm, limit, held);
        let stops = self.seats().any(Seat::is_stopping);
        if let Some(mut source) = self.source.as_mut().as_pin_mut() {
            if stops && !std::mem::replace(self.stopping, true) {
                source.as_mut().finish();
            }
            if !over && !batch.is_full() {
                let idle = source.poll_batch(cx, &mut batch).is_pending();
                over = stops && idle;
            }
        }
        over |= stops && !S::OWES;
        if *self.opened
            && !over
            && !batch.is_ended()
            && let Some(notice) = self.lease().and_then(Lease::notice)
        {
            batch.force(notice.into_bytes());
        }
        (batch, over)
    }

    /// What is sent where no event is due: at the opening, and after a silence. Whether anything is.
    fn tick(&mut self, now: Instant, batch: &mut Batch) -> bool {
        let Some(mut source) = self.source.as_mut().as_pin_mut() else {
            return false;
        };
        if !*self.opened {
            if let Some(frame) = source.as_mut().greeting() {
                batch.push(frame.into_bytes());
                return true;
            }
            if self.rhythm.says_hello() {
                return true;
            }
            *self.opened = true;
        }
        if now < *self.last_traffic + self.rhythm.keep_alive() {
            return false;
        }
        let event = self.rare.as_ref().and_then(|rare| rare.keep_alive.clone());
        let position = source.heartbeat().map(Frame::into_bytes);
        match (position, event) {
            (position, Some(event)) if self.rhythm.keeps_alive => {
                position.into_iter().chain([event]).for_each(|frame| batch.force(frame));
            }
            (Some(position), _) => batch.force(position),
            (None, _) if self.rhythm.keeps_alive => batch.force(Bytes::from_static(COMMENT)),
            // As if it had been: the next look is as far away.
            (None, _) => *self.last_traffic = now,
        }
        !batch.is_empty()
    }

    /// Sets the timer to when the stream must look again.
    fn sleep(&mut self, now: Instant, cx: &mut Context<'_>) {
        let target = [
            Some(*self.last_traffic + self.rhythm.keep_alive()),
            Some(*self.ends_at),
            self.source_wakes_at(),
            self.lease().map(|lease| lease.wake_at(now)),
        ];
        let target = target.into_iter().flatten().min().unwrap_or(*self.ends_at);
        // It stays where it was while events flow: one that fires early is set anew then.
        if let Some(timer) = self.timer.as_ref().as_pin_ref()
            && !timer.is_elapsed()
            && timer.deadline() <= target
        {
            return;
        }
        // Never the old one: with its runtime gone it has elapsed, and cannot be set again.
        self.timer.set(Handle::try_current().is_ok().then(|| sleep_until(target)));
        if let Some(timer) = self.timer.as_mut().as_pin_mut() {
            // However much the task has done in this turn: a timer that is not polled never fires.
            if pin!(unconstrained(timer)).poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// The chunk, with what belongs to the opening and to the end; `None` where the stream has ended without.
    fn seal(&mut self, mut batch: Batch, over: bool) -> Option<Bytes> {
        let ended = over || batch.is_ended();
        *self.paused = batch.is_full() && !ended;
        *self.last_traffic = batch.now();
        let (mut chunk, held) = batch.into_parts();
        if held.is_some() {
            self.rare.get_or_insert_default().held = held;
        }
        // `retry` is never closed by a blank line of its own: a block of nothing else is an empty message to
        // some clients. At the start it belongs to the first event, at the end the client takes it by itself.
        if !std::mem::replace(self.opened, true) {
            let comment = if self.rhythm.opening_comment { COMMENT } else { b"" };
            chunk.prepend(&[comment, self.rhythm.retry_line().as_bytes()].concat());
        }
        if over || (*self.stopping && ended) {
            chunk.append(self.rhythm.retry_line().into());
        }
        if ended {
            self.source.set(None);
            *self.seat = None;
            *self.rare = None;
            self.timer.set(None);
        }
        (chunk.len() > 0).then(|| chunk.into_bytes())
    }

    fn lease(&mut self) -> Option<&mut Lease> {
        self.rare.as_mut()?.lease.as_mut()
    }

    fn source_wakes_at(&self) -> Option<Instant> {
        self.source.as_ref().as_pin_ref()?.wake_at()
    }
}

impl<S: Source> Stream for EventStream<S> {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_turn(cx, CHUNK)
    }
}

/// What only some streams have: all of them are counted in bytes.
#[derive(Default)]
struct Rare {
    /// Of an authorised request: until when, and who may end it.
    lease: Option<Lease>,
    /// Of a hub that another server than the request's ends.
    seat: Option<Seat>,
    /// An event that did not fit into the last chunk.
    held: Option<Bytes>,
    /// Header fields beyond those of every stream.
    headers: Box<[Field]>,
    /// What is sent in place of the comment that keeps the connection alive.
    keep_alive: Option<Bytes>,
}

impl Rare {
    fn boxed(self) -> Option<Box<Self>> {
        let is_used = self.lease.is_some()
            || self.seat.is_some()
            || !self.headers.is_empty()
            || self.keep_alive.is_some();
        is_used.then(|| Box::new(self))
    }

    /// Whether nothing in it is due, but for what the wall clock says.
    fn is_calm(&self) -> bool {
        self.held.is_none()
            && !self.lease.as_ref().is_some_and(Lease::is_revoked)
            && !self.seat.as_ref().is_some_and(Seat::is_stopping)
    }

    /// Whether nothing more may be sent.
    fn is_over(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_over)
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
