//! How many streams there may be, of whom, and how often they may be asked for.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod caps;
mod guards;
mod rates;
mod stops;

use std::{net::SocketAddr, pin::Pin};

use futures_util::{StreamExt, stream};
use http::request::Builder;
use sse_core::{
    Auth, Authorized, EventStream, Hub, HubBuilder, Identity, Lifecycle, Limits, LimitsBuilder, Refusal,
    Request, StreamOptions, Subscription,
};

/// An open stream.
type Open = Pin<Box<EventStream<Subscription>>>;

fn hub_with(limits: LimitsBuilder) -> (Hub, Limits) {
    hub_of(Hub::builder(), limits)
}

fn hub_of(builder: HubBuilder, limits: LimitsBuilder) -> (Hub, Limits) {
    let limits = limits.build();
    (builder.lifecycle(&Lifecycle::builder().limits(&limits).build()).build(), limits)
}

/// A plain client's request.
fn head() -> Builder {
    http::Request::get("/events")
}

fn from(address: &str) -> Builder {
    head().extension(SocketAddr::new(address.parse().unwrap(), 50_000))
}

/// As a browser's `EventSource` asks.
fn in_browser(head: Builder) -> Builder {
    head.header("accept", "text/event-stream").header("sec-fetch-mode", "cors")
}

fn read(hub: &Hub, head: Builder) -> Request {
    Request::new(&head.body(()).unwrap(), hub.lifecycle())
}

fn open(hub: &Hub, head: Builder) -> Result<Open, Refusal> {
    Ok(Box::pin(hub.open(&read(hub, head), "news")?))
}

/// Signed in as this one, for every topic.
fn signed_in(hub: &Hub, subject: &str) -> Authorized<Identity> {
    let identity = Identity::new(subject).every_topic();
    auth().admit(&head().body(()).unwrap(), hub.lifecycle(), identity).unwrap()
}

fn auth() -> Auth {
    Auth::sessions().build().unwrap()
}

fn open_as(hub: &Hub, subject: &str) -> Result<Open, Refusal> {
    Ok(Box::pin(hub.open(&signed_in(hub, subject), "news")?))
}

fn field<'a>(refusal: &'a Refusal, name: &str) -> Option<&'a str> {
    refusal.headers().find(|(key, _)| *key == name).map(|(_, value)| value)
}
