//! [`FilterMap`]: a subscription of which a client sees a part, or sees it otherwise.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;

use super::{Received, Subscription, subscription::Taken};
use crate::{
    batch::Batch,
    end_reason::EndReason,
    frame::Frame,
    lifecycle::{Life, Lifecycle, Release},
    source::{Feed, Item},
    stream::EventStream,
    topic::Topics,
};

/// How many events are looked at before others have their turn.
const AT_ONCE: usize = 256;

/// What [`Subscription::filter_map`] and [`EventStream::filter_map`] make: a source of an [`EventStream`].
pub struct FilterMap<F> {
    subscription: Subscription,
    filter: F,
    /// Whether the client was given a position on this connection.
    has_position: bool,
}

impl Subscription {
    /// Decides of each event whether this client is given it, and as what.
    ///
    /// `filter` gives back an event for the client, or nothing where it is to see none. What it gives bears the
    /// id of the event that it comes from, whatever its own; [`Received::frame`] is the event as it is, at no cost.
    /// Gaps go through without being asked about, and the client's position moves over what is left out: nothing
    /// is lost, and nothing is asked about twice but after a reconnect.
    ///
    /// An error in what it gives back ends the stream, and is logged.
    pub fn filter_map<F, T>(self, filter: F) -> FilterMap<F>
    where
        F: FnMut(&Received) -> Option<T>,
        T: Item,
    {
        FilterMap { subscription: self, filter, has_position: false }
    }
}

impl EventStream<Subscription> {
    /// [`Subscription::filter_map`] for a stream that [`Hub::open`](crate::Hub::open) has opened.
    ///
    /// ```
    /// use sse_core::{EventStream, Hub, Refusal, Request, Source};
    ///
    /// // Nobody is sent what he has said himself.
    /// fn chat(request: &Request, hub: &Hub, me: String) -> Result<EventStream<impl Source + use<>>, Refusal> {
    ///     let stream = hub.open(request, "chat")?;
    ///     Ok(stream.filter_map(move |event| (event.name() != Some(&me)).then(|| event.frame().clone())))
    /// }
    /// ```
    pub fn filter_map<F, T>(self, filter: F) -> EventStream<FilterMap<F>>
    where
        F: FnMut(&Received) -> Option<T>,
        T: Item,
    {
        self.map_source(|subscription| subscription.filter_map(filter))
    }
}

impl<F, T> FilterMap<F>
where
    F: FnMut(&Received) -> Option<T>,
    T: Item,
{
    /// What the client is given of an event.
    fn filtered(&mut self, taken: &Taken) -> Result<Option<Frame>, String> {
        let frame = taken.event.frame();
        if taken.event.is_gap() {
            return Ok(Some(frame.clone()));
        }
        let Some(item) = (self.filter)(&taken.event) else {
            return Ok(None);
        };
        let given = item.into_frame()?;
        Ok(Some(match frame.client_id() {
            Some(id) if given.client_id() != Some(id) => given.under(id),
            _ => given,
        }))
    }

    fn source(self: Pin<&mut Self>) -> Pin<&mut Subscription> {
        Pin::new(&mut self.get_mut().subscription)
    }
}

/// Nothing in it is ever pinned.
impl<F> Unpin for FilterMap<F> {}

impl<F, T> Feed for FilterMap<F>
where
    F: FnMut(&Received) -> Option<T>,
    T: Item,
{
    const OWES: bool = true;

    fn origin(&self) -> Option<(Topics, &Lifecycle)> {
        self.subscription.origin()
    }

    fn holding(&self) -> Option<Box<dyn Release>> {
        self.subscription.holding()
    }

    fn begins(&self, life: &Arc<Life>) {
        self.subscription.begins(life);
    }

    fn leave(self: Pin<&mut Self>, topics: &Topics) -> bool {
        self.source().leave(topics)
    }

    fn poll_batch(self: Pin<&mut Self>, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..AT_ONCE {
            let taken = match this.subscription.poll_event(cx) {
                Poll::Ready(Ok(taken)) => taken,
                Poll::Ready(Err(reason)) => {
                    batch.end(reason);
                    return Poll::Ready(());
                }
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(()),
            };
            match this.filtered(&taken) {
                Ok(given) => {
                    let is_event = given.as_ref().is_some_and(Frame::is_event);
                    this.has_position |= is_event;
                    if !is_event {
                        this.subscription.keep_back(&taken);
                    }
                    // A comment bears no id, and keeps away the opening and the keep-alive that would bring one.
                    let position = match given.is_some() && !is_event {
                        true if this.has_position => Pin::new(&mut *this).heartbeat(),
                        true => Pin::new(&mut *this).greeting(),
                        false => None,
                    };
                    match (given, position) {
                        (Some(comment), Some(position)) => {
                            batch
                                .push_some([&comment.as_bytes()[..], position.as_bytes()].concat().into(), 0);
                        }
                        (given, _) => {
                            let is_counted = is_event && !taken.event.is_gap();
                            given
                                .into_iter()
                                .for_each(|frame| batch.push_some(frame.into_bytes(), is_counted.into()));
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(error, "an event stream of the application failed and is ended");
                    this.subscription.keep_back(&taken);
                    batch.end(EndReason::Failed);
                }
            }
            if batch.is_full() {
                return Poll::Ready(());
            }
        }
        if batch.is_empty() {
            // Not pending: there may be more, and a server that stops waits for it.
            cx.waker().wake_by_ref();
        } else {
            batch.fill();
        }
        Poll::Ready(())
    }

    fn moved(self: Pin<&mut Self>) {
        self.source().moved();
    }

    fn is_asleep(&self) -> bool {
        self.subscription.is_asleep()
    }

    fn greeting(mut self: Pin<&mut Self>) -> Option<Frame> {
        self.has_position = true;
        self.source().greeting()
    }

    fn heartbeat(self: Pin<&mut Self>) -> Option<Frame> {
        self.source().heartbeat()
    }

    fn wake_at(&self) -> Option<Instant> {
        self.subscription.wake_at()
    }

    fn finish(self: Pin<&mut Self>) {
        self.source().finish();
    }
}

impl<F> fmt::Debug for FilterMap<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterMap").finish_non_exhaustive()
    }
}
