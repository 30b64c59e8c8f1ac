//! Authorisation through the public API, with tokens that an independent library has made.
#![cfg(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc-rs"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod attacks;
mod grants;
mod hostile;
mod issuers;
mod lenient;
mod logs;
mod mutants;
mod nodes;
mod origins;
mod reauthorize;
mod remote_keys;
mod revocations;
mod revoked;
mod sessions;
mod sources;
mod streams;
mod table;
mod tickets;

use std::{
    fmt::Display,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;
use http::HeaderValue;
use serde_json::Value;
use sse_core::{
    Algorithm, Auth, AuthBuilder, Authorized, Grants, Key, Lifecycle, Refusal, ShareError, Verifier,
    VerifierBuilder,
};
use tokio::time::Instant;

static DATA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/tokens.json")).unwrap());

type Head = http::Request<()>;

fn get() -> Head {
    http::Request::get("/events").body(()).unwrap()
}

fn bearer(token: &str) -> Head {
    get().header("authorization", format!("Bearer {token}"))
}

fn with_cookie(token: &str) -> Head {
    get().header("cookie", format!("a=b; sse_token={token}; c=d"))
}

/// A request is made as its builder makes it, and can be shown to several.
trait Build {
    /// Another method and path.
    fn at(self, method: &str, path: &str) -> Self;

    /// One more field.
    fn header(self, name: &'static str, value: impl Into<Vec<u8>>) -> Self;

    /// Another query.
    fn query(self, query: impl Display) -> Self;
}

impl Build for Head {
    fn at(mut self, method: &str, path: &str) -> Self {
        *self.method_mut() = method.parse().unwrap();
        let query = self.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        *self.uri_mut() = format!("{path}{query}").parse().unwrap();
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers_mut().append(name, HeaderValue::try_from(value.into()).unwrap());
        self
    }

    fn query(mut self, query: impl Display) -> Self {
        *self.uri_mut() = format!("{}?{query}", self.uri().path()).parse().unwrap();
        self
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

/// What one process does by itself is done at once.
fn now(revoking: impl Future<Output = Result<usize, ShareError>>) -> usize {
    revoking.now_or_never().unwrap().unwrap()
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
