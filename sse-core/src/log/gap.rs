//! [`Gap`]: what an `sse-gap` event says.

use serde::Serialize;

use crate::id::EventId;

/// In the order in which they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reason {
    Lagged,
    Restarted,
    Trimmed,
    Unknown,
}

/// The data of an `sse-gap` event.
#[derive(Serialize)]
pub(super) struct Gap<'a> {
    pub(super) reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<EventId>,
    pub(super) upto: EventId,
    pub(super) topics: Vec<&'a str>,
}
