//! [`ClientEvent`], and what makes it of bytes: a parser that knows nothing of the encoder.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use eventsource_stream::EventStream as Parsed;
use futures_core::Stream;
use serde::de::DeserializeOwned;

use crate::{
    event::{Event, EventError},
    id::{ClientId, EventId},
};

/// An event as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientEvent {
    /// The name by which a listener gets it: `message` where it has none of its own.
    pub name: String,
    /// The data, lines joined with LF.
    pub data: String,
    /// Its own id where that is one of a hub: what [`Hub::publish`](crate::Hub::publish) returned, or in an `sse-gap`
    /// the position that the client is at.
    pub id: Option<EventId>,
    /// What the client would send as `Last-Event-ID` if it were cut now: the event's id, whoever gave it, or where it
    /// has none, the last that was sent before.
    pub last_event_id: String,
    /// The reconnection time that was sent with it, or with an `sse-position` before it that was left out. The first
    /// event of a stream has one.
    pub retry: Option<Duration>,
}

impl ClientEvent {
    /// Its data read as JSON.
    ///
    /// # Errors
    /// What `serde_json` says of data that is not this.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.data)
    }

    /// The variant of an enum that it is: what [`Event::typed`] made of it, read by [`Event::parse`].
    ///
    /// # Errors
    /// As [`Event::parse`].
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        Event::parse(self.name.as_str(), &self.data)
    }

    /// Which event of its hub's log it is, from 1: to compare what is sent in several runs, as the rest of an id is
    /// random in each. Only for a hub in memory, whose log begins with the hub.
    pub fn seq(&self) -> Option<u64> {
        self.id.map(|id| id.seq)
    }
}

/// Takes bytes in any pieces, and gives events.
///
/// In front of the parser stands what it lacks: it panics on a byte order mark, stands still at what is not UTF-8, and
/// takes the CR at the end of a piece for a line's end only when it sees what comes next.
pub(super) struct Decoder {
    slot: Arc<Mutex<Option<String>>>,
    parsed: Parsed<Slot>,
    /// The beginning of a character.
    rest: Vec<u8>,
    started: bool,
    after_cr: bool,
    last_event_id: String,
}

/// The bytes are not UTF-8.
pub(super) struct NotUtf8;

impl Decoder {
    pub(super) fn new() -> Self {
        let slot = Arc::<Mutex<_>>::default();
        Self {
            parsed: Parsed::new(Slot(Arc::clone(&slot))),
            slot,
            rest: Vec::new(),
            started: false,
            after_cr: false,
            last_event_id: String::new(),
        }
    }

    /// More bytes. Only where [`next`](Self::next) has nothing more to give.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), NotUtf8> {
        let mut bytes = [&self.rest, bytes].concat();
        let whole = match std::str::from_utf8(&bytes) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_some() => return Err(NotUtf8),
            Err(error) => error.valid_up_to(),
        };
        self.rest = bytes.split_off(whole);
        let mut text = String::from_utf8(bytes).map_err(|_| NotUtf8)?;
        if text.is_empty() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.started, true) && text.starts_with('\u{feff}') {
            text.remove(0);
        }
        if std::mem::replace(&mut self.after_cr, text.ends_with('\r')) && text.starts_with('\n') {
            text.remove(0);
        }
        if self.after_cr {
            text.push('\n');
        }
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        Ok(())
    }

    /// The next event of the bytes so far.
    pub(super) fn next(&mut self) -> Option<ClientEvent> {
        let mut context = Context::from_waker(Waker::noop());
        // Text is never an error to it.
        let Poll::Ready(Some(Ok(event))) = Pin::new(&mut self.parsed).poll_next(&mut context) else {
            return None;
        };
        let id = event.id.parse::<ClientId>().ok();
        if !event.id.is_empty() {
            self.last_event_id = event.id;
        }
        Some(ClientEvent {
            name: event.event,
            data: event.data,
            id: id.map(|client| client.id),
            last_event_id: self.last_event_id.clone(),
            retry: event.retry,
        })
    }
}

/// The body as the parser sees it: what was put there last.
struct Slot(Arc<Mutex<Option<String>>>);

impl Stream for Slot {
    type Item = Result<String, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        text.map_or(Poll::Pending, |text| Poll::Ready(Some(Ok(text))))
    }
}
