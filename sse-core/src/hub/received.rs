//! [`Received`]: an event as a subscriber on this side sees it.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    event::{self, Event, EventError},
    frame::Frame,
    id::EventId,
    topic::Topics,
};

/// An event of a [`Hub`](crate::Hub), as a [`Subscription`](crate::Subscription) yields it on this side of the wire.
///
/// What was lost to the subscription comes as one too, under the name `sse-gap`:
/// [`is_gap`](Self::is_gap). It is encoded already, and decoded where it is asked for.
#[derive(Clone)]
pub struct Received {
    frame: Frame,
    id: EventId,
    topics: Topics,
}

impl Received {
    pub(super) fn new(bytes: Bytes, topics: Topics) -> Option<Self> {
        let frame = Frame::sealed(bytes)?;
        let id = frame.client_id()?.id;
        Some(Self { frame, id, topics })
    }

    /// The position right behind it: [`Start::After`](crate::Start::After) goes on from there.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// All topics that it was published to, also those that the subscription does not have; of a gap those that
    /// have lost something.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Its name; `None` for a plain message.
    pub fn name(&self) -> Option<&str> {
        self.frame.name()
    }

    /// Its data, lines joined with LF.
    pub fn data(&self) -> Cow<'_, str> {
        self.frame.data()
    }

    /// Its data read as JSON.
    ///
    /// # Errors
    /// What `serde_json` says of data that is not this.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.data())
    }

    /// The variant of an enum that it is: what [`Event::typed`] made of it, read by [`Event::parse`].
    ///
    /// # Errors
    /// As [`Event::parse`].
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        Event::parse(self.name(), &self.data())
    }

    /// Whether it says what was lost; its data is that of an `sse-gap` event.
    pub fn is_gap(&self) -> bool {
        self.name() == Some(event::GAP)
    }

    /// The event as it goes over the wire.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The event without its id: to be changed and sent on, or published to another hub.
    pub fn to_event(&self) -> Event {
        self.frame.to_event()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("id", &self.id)
            .field("topics", &self.topics)
            .field("name", &self.name())
            .field("data", &self.data())
            .finish()
    }
}
