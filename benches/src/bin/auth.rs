//! What authorisation costs: each connect with an HMAC token, and each delivered event.
//!
//! `auth`
#![allow(clippy::expect_used, reason = "a benchmark may fail where it stands")]

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    task::{Context, Waker},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header};
use sse_benches::{Report, median};
use sse_warp::{Algorithm, Auth, Grants, Hub, Key, Lifecycle, Request, RequestHead, Verifier};

const SECRET: &[u8] = b"a secret of the benchmark, longer than the hash";
const ROUNDS: usize = 41;
const CONNECTS: u32 = 2_000;
const EVENTS: u32 = 20_000;

struct Head(String);

impl RequestHead for Head {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn headers(&self, name: &str) -> Vec<&[u8]> {
        (name == "authorization").then_some(self.0.as_bytes()).into_iter().collect()
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

fn auth() -> Auth {
    let verifier = Verifier::builder()
        .algorithms([Algorithm::HS256])
        .keys(Key::hmac(SECRET).expect("a key"))
        .issuer("sse-example")
        .audience("sse-example")
        .build()
        .expect("a verifier");
    Auth::builder(verifier).grants(Grants::claim("topics")).build().expect("rules")
}

fn head() -> Head {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let claims = serde_json::json!({
        "iss": "sse-example", "aud": "sse-example", "sub": "ada", "jti": "0123456789abcdef",
        "iat": now, "exp": now + 3600, "topics": ["news", "user/ada"],
    });
    let token = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET));
    Head(format!("Bearer {}", token.expect("a token")))
}

/// The time of one connect and of one event, in microseconds, with or without authorisation.
async fn round(hub: &Hub, auth: Option<&Auth>, head: &Head) -> (f64, f64) {
    let lifecycle: &Lifecycle = hub.lifecycle();
    let start = Instant::now();
    for _ in 0..CONNECTS {
        let stream = match auth {
            Some(auth) => {
                let client = auth.authorize(head, lifecycle).await.expect("a good token");
                hub.open(&client, "news")
            }
            None => hub.open(&Request::new(head, lifecycle), "news"),
        };
        drop(stream.expect("a stream"));
    }
    let connect = start.elapsed();

    let stream = match auth {
        Some(auth) => hub.open(&auth.authorize(head, lifecycle).await.expect("a good token"), "news"),
        None => hub.open(&Request::new(head, lifecycle), "news"),
    };
    let mut stream = pin!(stream.expect("a stream"));
    poll_fn(|cx| stream.as_mut().poll_chunk(cx, 4096)).await.expect("the opening");
    let mut polled = Duration::ZERO;
    for _ in 0..EVENTS / 100 {
        for _ in 0..100 {
            hub.publish_blocking("news", "x".repeat(100)).expect("published");
            let start = Instant::now();
            let chunk = stream.as_mut().poll_chunk(&mut Context::from_waker(Waker::noop()), 4096);
            assert!(chunk.is_ready());
            let idle = stream.as_mut().poll_chunk(&mut Context::from_waker(Waker::noop()), 4096);
            polled += start.elapsed();
            assert!(idle.is_pending());
        }
        tokio::task::yield_now().await;
    }
    let micros = |time: Duration, count: u32| time.as_secs_f64() * 1e6 / f64::from(count);
    (micros(connect, CONNECTS), micros(polled, EVENTS))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (hub, auth, head) = (Hub::new(), auth(), head());
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(round(&hub, None, &head).await);
        with.push(round(&hub, Some(&auth), &head).await);
    }
    let connect = |rounds: &[(f64, f64)]| median(rounds.iter().map(|(connect, _)| *connect).collect());
    let event = |rounds: &[(f64, f64)]| median(rounds.iter().map(|(_, event)| *event).collect());
    let row = |name: &str, with: f64, without: f64| {
        vec![name.to_owned(), format!("{without:.3}"), format!("{with:.3}"), format!("{:.3}", with - without)]
    };
    let mut report = Report::new("Authorisation");
    report.text(&format!(
        "HS256, {ROUNDS} rounds by turns, medians, µs on one core. An event is two polls: one that takes it and one \
         that finds nothing more; two readings of the clock are within."
    ));
    report.table(
        &["", "without", "with a token", "more"],
        &[
            row("a connect", connect(&with), connect(&without)),
            row("a delivered event, without the socket", event(&with), event(&without)),
        ],
    );
    report.finish("auth");
}
