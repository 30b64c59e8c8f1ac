//! Authorisation through the public API, with tokens that an independent library has made.
#![cfg(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc-rs"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod grants;
mod hostile;
mod logs;
mod origins;
mod reauthorize;
mod remote_keys;
mod revocations;
mod sessions;
mod sources;
mod streams;
mod table;
mod tickets;

use std::{
    net::SocketAddr,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use sse_core::{
    Algorithm, Auth, AuthBuilder, Authorized, Grants, Key, Lifecycle, Refusal, RequestHead, Verifier,
    VerifierBuilder,
};
use tokio::time::Instant;

static DATA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/tokens.json")).unwrap());

/// A request as an adapter shows it.
#[derive(Default)]
struct Head {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, Vec<u8>)>,
    query: String,
}

impl Head {
    fn get() -> Self {
        Self { method: "GET", path: "/events", ..Self::default() }
    }

    fn bearer(token: &str) -> Self {
        Self::get().header("authorization", format!("Bearer {token}"))
    }

    fn cookie(token: &str) -> Self {
        Self::get().header("cookie", format!("a=b; sse_token={token}; c=d"))
    }

    /// Another method and path.
    fn at(mut self, method: &'static str, path: &'static str) -> Self {
        (self.method, self.path) = (method, path);
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn query(mut self, query: impl Into<String>) -> Self {
        self.query = query.into();
        self
    }
}

impl RequestHead for Head {
    fn method(&self) -> &str {
        self.method
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_slice())
    }

    fn path(&self) -> &str {
        self.path
    }

    fn query(&self) -> Option<&str> {
        Some(&self.query)
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

/// A wall clock that starts when the tokens were made and goes with tokio's, which tests may stop.
fn clock() -> impl Fn() -> SystemTime + Send + Sync + 'static {
    let start = Instant::now();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(DATA["now"].as_u64().unwrap());
    move || now + start.elapsed()
}

fn text(path: &str) -> String {
    DATA.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path}")).to_owned()
}

fn token(name: &str) -> String {
    text(&format!("/people/{name}"))
}

fn verifier() -> VerifierBuilder {
    Verifier::builder()
        .algorithms([Algorithm::HS256])
        .keys(Key::hmac(text("/secret")).unwrap())
        .issuer("sse-example")
        .audience("sse-example")
        .clock(clock())
}

fn builder() -> AuthBuilder {
    Auth::builder(verifier().build().unwrap()).cookie("sse_token").grants(Grants::claim("topics"))
}

fn auth() -> Auth {
    builder().build().unwrap()
}

async fn authorize(auth: &Auth, head: &Head) -> Result<Authorized, Refusal> {
    auth.authorize(head, &Lifecycle::new()).await
}

/// The status and the challenge.
fn answer(answer: &Result<Authorized, Refusal>) -> (u16, &str) {
    match answer {
        Ok(_) => (200, ""),
        Err(refusal) => (refusal.status(), field(refusal, "www-authenticate").unwrap_or_default()),
    }
}

fn field<'a>(refusal: &'a Refusal, name: &str) -> Option<&'a str> {
    refusal.headers().find(|(key, _)| *key == name).map(|(_, value)| value)
}
