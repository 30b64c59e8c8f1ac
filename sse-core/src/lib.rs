//! Server-Sent Events without a web framework.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `jwt-rust-crypto` or `jwt-aws-lc-rs`: authorised streams (`Auth`, `Verifier`, `Grants`, `Tickets`,
//!   `Revocations`), with the cryptography of either. With both on, it is `aws-lc-rs`. The former brings the crate
//!   `rsa`, of which RUSTSEC-2023-0071 says that signing and decrypting leak time; verifying does neither.
//! - `jwt`: the same, with a provider that the application installs in `jsonwebtoken`.
//! - `jwks`: keys that are fetched, by a function of the application's own (`Keys::remote`).
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
