//! Server-Sent Events for Rust web servers: encoding, topics, replay and clean endings, without a framework.
//!
//! Applications use an adapter, which re-exports everything here: `sse-actix`, `sse-rocket` or `sse-warp`. This
//! crate alone is for writing another one.
//!
//! ```
//! use sse_core::{Event, EventStream, Hub, Refusal, Request, Subscription};
//!
//! // In a handler: a request that an adapter has read, and the hub that the application shares.
//! fn events(request: &Request, hub: &Hub) -> Result<EventStream<Subscription>, Refusal> {
//!     let topics = request.topics("news", ["news", "public/*"])?; // `?topic=`, if it is among these
//!     hub.open(request, topics) // goes on behind the client's `Last-Event-ID`
//! }
//!
//! // Anywhere else:
//! async fn tell(hub: &Hub) -> Result<(), Box<dyn std::error::Error>> {
//!     hub.publish("news", "plain text").await?;
//!     hub.publish(["news", "user/ada"], Event::json(&[1, 2, 3])?.name("numbers")?).await?;
//!     Ok(())
//! }
//! ```
//!
//! # Events
//!
//! An [`Event`] is checked where it is built: nothing that a user types can add a field or an event, and encoding
//! cannot fail. A [`Frame`] is an event encoded once, to be sent any number of times.
//!
//! # The hub
//!
//! A [`Hub`] is one ordered, bounded log. Publishing appends an encoded event under one or several [`Topics`]; a
//! [`Subscription`] is a position in the log. What a client is sent is what lies between its position and the
//! end, whether that was published a minute ago or now. Hence replay and live delivery cannot leave anything out
//! between them or send it twice, a client that reads slowly costs no memory, and events that are due together
//! go out in one write.
//!
//! Every event's id is such a position, valid for any set of topics. Two events of the library's own tell the
//! rest; a browser without listeners for them ignores them:
//!
//! - **`sse-position`** carries nothing but an id. A stream opens with it when no event is due, so that a client
//!   which is cut before its first event comes back with a position; and a quiet stream sends it in place of a
//!   keep-alive when its last id is about to fall out of the log.
//! - **`sse-gap`** says what could not be sent any more, before anything else is:
//!   `{"reason":"trimmed","after":"…","upto":"…","topics":["news"]}`. The reasons are `trimmed` (the client was
//!   away for longer than the log reaches), `lagged` (it read too slowly), `restarted` (the log is a new one)
//!   and `unknown` (its position means nothing here). Only topics that really lost something are named; where
//!   something was lost between an engine and this node nobody knows which those are, and all are.
//!
//! # Streams
//!
//! An [`EventStream`] is the body of the answer: a first byte at once, keep-alives while nothing happens, a clean
//! end. It is fed by a hub or by any stream of the application's own ([`EventStream::open`]). [`StreamOptions`]
//! say how it begins, lives and ends, for all of a hub's streams or for one endpoint. The answer's head is
//! [`EventStream::headers`]; an answer that is no stream is a [`Refusal`].
//!
//! A [`SubscriptionHandle`] gives an open stream other topics, without a reconnect, or ends it.
//!
//! A [`Subscription`] can also be read on this side, event by event ([`Received`]): by a WebSocket, a log, a test. And
//! [`EventStream::filter_map`] decides for one client which events it is given, and as what.
//!
//! # Stopping
//!
//! Servers wait for open bodies when they stop, or cut them; event streams have no end of their own. A
//! [`Lifecycle`] knows the open streams and ends them first: one by one, if it is [told](Lifecycle::builder) to, and what
//! nobody reads without being read.
//!
//! With the feature `limits` it also says how many there may be, and of whom: `Limits`.
//!
//! # More than one process
//!
//! [`HubBuilder::engine`] puts a durable log behind a hub that several processes share, an [`Engine`]: `sse-redis` or
//! `sse-nats`. Each process follows it once, whatever the number of its clients, and clients are served from its own log.
//! Ids, replay and gaps hold on every node: a client that comes back to another one goes on exactly where it was.
//!
//! # Seeing what happens
//!
//! Every stream has a span of `tracing`, and ends for an [`EndReason`]. A [`StreamObserver`] is told when streams open, have
//! other topics and end, and [`Presence`] knows who is on a topic. [`Hub::lag`] and [`Hub::busiest_topics`] are for a health
//! page, and with the feature `metrics` everything is counted for Prometheus and others (`Hub::record_metrics`).
//!
//! # Who may see what
//!
//! With a feature for it, `Auth` lets a request in, by its token or by a session of the application's own, and makes it
//! an `Authorized` one, which [`Hub::open`] and [`EventStream::open`] take like any other: its stream has no topic that
//! is not granted, and ends when the token or the session expires or is revoked.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `auth`: streams for who is signed in by the application's own sessions (`Auth::sessions`, `Identity`,
//!   `Revocations`). No cryptography.
//! - `jwt-rust-crypto` or `jwt-aws-lc-rs`: by tokens too (`Verifier`, `Grants`, `Tickets`),
//!   with the cryptography of either. With both on, it is `aws-lc-rs`. The former brings the crate
//!   `rsa`, of which RUSTSEC-2023-0071 says that signing and decrypting leak time; verifying does neither.
//! - `jwt`: the same, with a provider that the application installs in `jsonwebtoken`.
//! - `jwks`: keys that are fetched, by a function of the application's own (`Keys::remote`).
//! - `limits`: how many streams there may be in all, of each subject, address and topic, and how often each may ask for
//!   one (`Limits`, `TrustedProxies`).
//! - `metrics`: counts, times and gauges for the recorder of the crate `metrics` (`Hub::record_metrics`).
//! - `http`: [`RequestHead`] for the requests of the crate `http`, version 1.
//! - `listener`: a TCP listener made for streams (`ListenOptions`); `found-listener`: the same for one that a framework
//!   binds by itself. Adapters turn them on where they need them.
//! - `test-util`: the module `test`, which reads what a client is sent. For `[dev-dependencies]`.
//!
//! # Writing an adapter
//!
//! Show the request ([`RequestHead`]), make the [`Request`], and turn two things into responses: an
//! [`EventStream`], which is a [`Stream`](futures_core::Stream) of whole, never empty chunks, and a [`Refusal`].
//! [`extracted!`] makes what handlers are given, [`adapter_error!`] what they fail with. Where a body is read into a
//! buffer there is [`EventStream::into_async_read`].
//!
//! For what speaks the crate `http`, as hyper, axum and tower do, the first of them is here: with the feature `http`
//! an `http::Request` and its `Parts` are a [`RequestHead`], and the builder of that crate makes requests for tests.
//! The client's address is looked for among the request's extensions, as a [`SocketAddr`](std::net::SocketAddr):
//! whoever accepts the connection inserts it.
#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

mod adapter;
#[cfg(feature = "auth")]
mod auth;
mod batch;
mod clock;
mod end_reason;
mod engine;
mod event;
mod frame;
#[cfg(feature = "http")]
mod http_head;
mod hub;
mod id;
mod last_event_id;
mod lease;
mod lifecycle;
#[cfg(feature = "limits")]
mod limits;
#[cfg(feature = "listener")]
mod listener;
mod log;
mod metrics;
mod nodes;
mod options;
mod presence;
mod query;
mod recheck;
mod record;
mod refusal;
mod request;
mod source;
mod stream;
#[cfg(feature = "test-util")]
pub mod test;
mod topic;
mod typed;
mod wakers;

#[cfg(feature = "jwks")]
pub use auth::FetchedKeys;
#[cfg(feature = "jwt")]
pub use auth::{
    Algorithm, Claims, ClaimsError, Grants, Key, KeyError, Keys, Ticket, Tickets, Verifier, VerifierBuilder,
};
#[cfg(feature = "auth")]
pub use auth::{Auth, AuthBuilder, Authorized, Auths, ConfigError, Identity, Revocations};
pub use end_reason::EndReason;
pub use engine::{Engine, EngineError, EngineFuture, Fed, Keep, Past, Publication, Published, Tail};
pub use event::{Event, EventError, EventName, MAX_FIELD_BYTES};
pub use frame::Frame;
pub use hub::{
    BuildError, EngineHubBuilder, FilterMap, Hub, HubBuilder, Lag, PublishError, Received, Stats,
    Subscription, SubscriptionHandle, TopicStats,
};
pub use id::{EventId, ParseIdError};
pub use last_event_id::LastEventId;
pub use lifecycle::{Lifecycle, LifecycleBuilder, OpenStream, StreamObserver};
#[cfg(feature = "limits")]
pub use limits::{Limits, LimitsBuilder, NetworkError, TrustedProxies};
#[cfg(feature = "listener")]
pub use listener::{ListenOptions, listener};
pub use log::{OnGap, OnLag, Start};
pub use nodes::ShareError;
pub use options::StreamOptions;
pub use presence::{Presence, PresenceBuilder};
pub use refusal::{Refusal, RefusalError, STREAM_HEADERS};
pub use request::{Request, RequestHead};
pub use source::{Item, Source};
pub use stream::{EventStream, IntoAsyncRead};
pub use topic::{MAX_TOPIC_BYTES, MAX_TOPICS_PER_QUERY, Topic, TopicError, TopicPattern, Topics};
