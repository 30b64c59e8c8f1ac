//! [`Source`]: what feeds a stream, and [`Item`]: what an application's own stream yields.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::Instant;

use crate::{
    batch::Batch,
    end_reason::EndReason,
    event::Event,
    frame::Frame,
    lifecycle::{Life, Lifecycle, Release},
    topic::Topics,
};

/// What feeds an [`EventStream`](crate::EventStream): a hub's [`Subscription`](crate::Subscription), what is made of
/// one by [`filter_map`](crate::Subscription::filter_map), or any stream of [`Item`]s.
///
/// Sealed: a bound for functions that return a stream, and for adapters.
pub trait Source: Feed {}

impl<S: Feed> Source for S {}

/// What a [`Source`] does.
#[expect(unnameable_types, reason = "seals the trait")]
pub trait Feed {
    /// Whether what is due when the server stops is still to be sent.
    const OWES: bool = false;

    /// The topics and the open streams that it brings with it.
    fn origin(&self) -> Option<(Topics, &Lifecycle)> {
        None
    }

    /// What is to be freed where the stream must end and is not polled.
    fn holding(&self) -> Option<Box<dyn Release>> {
        None
    }

    /// The stream that it feeds is open, and this is told of it.
    fn begins(&self, _: &Arc<Life>) {}

    /// Leaves topics that it may not have any more. Whether anything is left.
    fn leave(self: Pin<&mut Self>, _: &Topics) -> bool {
        true
    }

    /// Puts what is due into the batch. Pending where nothing is, with the task registered. One that has added
    /// nothing and is not through with what is due has the task woken.
    fn poll_batch(self: Pin<&mut Self>, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<()>;

    /// [`poll_batch`](Self::poll_batch) for the usual case: a stream that has opened, is sent what has just
    /// happened, and for which it is certainly earlier than `before`. `None` says that this is not it.
    fn poll_live(self: Pin<&mut Self>, _: &mut Context<'_>, _limit: usize, _before: Instant) -> Option<Live> {
        None
    }

    /// A task polls that did not before, perhaps in another runtime.
    fn moved(self: Pin<&mut Self>) {}

    /// Whether there is surely nothing, and the task of the last poll is registered: servers poll once more after
    /// each event.
    fn is_asleep(&self) -> bool {
        false
    }

    /// What to open with when nothing is due.
    fn greeting(self: Pin<&mut Self>) -> Option<Frame> {
        None
    }

    /// What to send in place of a keep-alive comment.
    fn heartbeat(self: Pin<&mut Self>) -> Option<Frame> {
        None
    }

    /// When it wants to be asked again, even if nobody wakes it.
    fn wake_at(&self) -> Option<Instant> {
        None
    }

    /// The server stops: nothing counts any more but what is due now.
    fn finish(self: Pin<&mut Self>) {}
}

impl<S> Feed for S
where
    S: Stream,
    S::Item: Item,
{
    fn poll_batch(mut self: Pin<&mut Self>, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<()> {
        while !batch.is_full() {
            match self.as_mut().poll_next(cx) {
                Poll::Ready(Some(item)) => match item.into_frame() {
                    Ok(frame) => {
                        let is_event = frame.is_event();
                        batch.push_some(frame.into_bytes(), is_event.into());
                    }
                    Err(error) => {
                        tracing::error!(error, "an event stream of the application failed and is ended");
                        batch.end(EndReason::Failed);
                    }
                },
                Poll::Ready(None) => batch.end(EndReason::Finished),
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(())
    }
}

/// A chunk of events that have just happened.
#[derive(Debug)]
#[expect(unnameable_types, reason = "what a sealed trait speaks of")]
pub struct Live {
    pub(crate) bytes: Bytes,
    /// How many they are.
    pub(crate) events: u32,
    /// When the last of them happened.
    pub(crate) at: Instant,
    /// More is due than this chunk takes.
    pub(crate) more: bool,
}

/// What an application's own stream may yield: [`Event`], [`Frame`], text as the data of an event, or a `Result` of
/// these, whose error ends the stream and is logged.
///
/// Sealed. A type of your own becomes an event first, and the `Result` of that will do: `yield Event::json(&own)`, or
/// `yield Event::typed(&own)` for an enum.
pub trait Item: IntoFrame {}

impl<T: IntoFrame> Item for T {}

/// What an [`Item`] does.
#[expect(unnameable_types, reason = "seals the trait")]
pub trait IntoFrame {
    /// The frame to send, or the text of the error that ends the stream.
    ///
    /// # Errors
    /// The application's own error, as text for the log.
    fn into_frame(self) -> Result<Frame, String>;
}

impl IntoFrame for Event {
    fn into_frame(self) -> Result<Frame, String> {
        Ok(Frame::from(&self))
    }
}

impl IntoFrame for Frame {
    fn into_frame(self) -> Result<Frame, String> {
        Ok(self)
    }
}

impl IntoFrame for String {
    fn into_frame(self) -> Result<Frame, String> {
        Event::new(self).into_frame()
    }
}

impl IntoFrame for &str {
    fn into_frame(self) -> Result<Frame, String> {
        Event::new(self).into_frame()
    }
}

impl<T: IntoFrame, E: fmt::Display> IntoFrame for Result<T, E> {
    fn into_frame(self) -> Result<Frame, String> {
        self.map_err(|error| error.to_string())?.into_frame()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_data_of_events() {
        let frame = |item: Result<Frame, String>| item.map(Frame::into_bytes);
        let expected = Ok(Bytes::from_static(b"data: a\ndata:  b\n\n"));
        assert_eq!(frame("a\n b".into_frame()), expected);
        assert_eq!(frame("a\n b".to_owned().into_frame()), expected);
        assert_eq!(frame(Ok::<_, fmt::Error>("a\n b").into_frame()), expected);
        // The building of an event too.
        assert_eq!(frame(Event::json(&[1]).into_frame()), Ok(Bytes::from_static(b"data: [1]\n\n")));
        let error = Err::<&str, _>(fmt::Error).into_frame();
        assert_eq!(frame(error), Err(fmt::Error.to_string()));
    }
}
