//! Server-Sent Events without a web framework.
#![forbid(unsafe_code)]

#[cfg(feature = "jwt")]
mod auth;
mod batch;
mod event;
mod frame;
mod hub;
mod id;
mod lease;
mod lifecycle;
mod options;
mod request;
mod response;
mod source;
mod stream;
mod topic;

#[cfg(feature = "jwks")]
pub use auth::FetchedKeys;
#[cfg(feature = "jwt")]
pub use auth::{
    Algorithm, Auth, AuthBuilder, Authorized, Claims, ClaimsError, ConfigError, Grants, Key, KeyError, Keys,
    Revocations, Ticket, Tickets, Verifier, VerifierBuilder,
};
#[doc(hidden)]
pub use batch::Batch;
pub use event::{Event, EventError, MAX_FIELD_BYTES};
pub use frame::Frame;
pub use hub::{Hub, HubBuilder, OnGap, PublishError, Start, Stats, Subscription, SubscriptionHandle};
pub use id::{EventId, ParseIdError};
pub use lifecycle::Lifecycle;
pub use options::StreamOptions;
pub use request::{LastEventId, Request, RequestHead};
pub use response::{Refusal, STREAM_HEADERS};
pub use source::{Item, Source};
pub use stream::EventStream;
pub use topic::{MAX_TOPIC_BYTES, MAX_TOPICS_PER_QUERY, Topic, TopicError, TopicPattern, Topics};
