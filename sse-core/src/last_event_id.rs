//! [`LastEventId`]: where a client says it is.

use crate::{
    id::{ClientId, EventId},
    query::query_values,
};

/// How much of a `Last-Event-ID` is looked at. Browsers echo an id of any length.
const MAX_LAST_EVENT_ID: usize = 1024;

/// A `Last-Event-ID` as it came, never empty.
///
/// Whatever a client sends here, the answer is a stream: a 400 would end a browser's `EventSource` for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEventId(Raw);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Raw {
    Text(Box<str>),
    /// Not UTF-8, not decodable, or longer than anything that we send.
    Unreadable,
}

impl LastEventId {
    /// From a header's value; `None` when it is empty.
    pub fn from_bytes(value: &[u8]) -> Option<Self> {
        if value.is_empty() {
            return None;
        }
        let text = (value.len() <= MAX_LAST_EVENT_ID).then(|| std::str::from_utf8(value).ok()).flatten();
        Some(Self(text.map_or(Raw::Unreadable, |text| Raw::Text(text.into()))))
    }

    pub(crate) fn from_query(query: &str) -> Option<Self> {
        query_values(query, &["last_event_id", "lastEventId"]).find_map(|value| match value {
            Some(value) => Self::from_bytes(value.as_bytes()),
            None => Some(Self(Raw::Unreadable)),
        })
    }

    /// The id as text, for a stream with ids of the application's own. `None` when it is not UTF-8 or longer
    /// than 1 KiB.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Raw::Text(text) => Some(text),
            Raw::Unreadable => None,
        }
    }

    /// The id as one of the hub's. `None` when it is not one.
    pub fn as_event_id(&self) -> Option<EventId> {
        self.as_client_id().map(|client| client.id)
    }

    pub(crate) fn as_client_id(&self) -> Option<ClientId> {
        self.as_str()?.parse().ok()
    }
}
