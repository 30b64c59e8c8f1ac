//! What authorisation costs: each connect with an HMAC token, each delivered event, and how much is remembered of a
//! million revocations and a hundred thousand tickets and streams.
//!
//! `auth`
#![allow(clippy::expect_used, reason = "a benchmark may fail where it stands")]

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Waker},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::FutureExt;
use jsonwebtoken::{EncodingKey, Header};
use sse_benches::{Report, median};
use sse_core::Authorized;
use sse_warp::{
    Algorithm, Auth, EventStream, Grants, Hub, Key, Lifecycle, Request, Subscription, Tickets, Verifier,
};

const SECRET: &[u8] = b"a secret of the benchmark, longer than the hash";
const ROUNDS: usize = 41;
const CONNECTS: u32 = 2_000;
const EVENTS: u32 = 20_000;

const REVOCATIONS: u32 = 1_000_000;
const SUBJECTS: u32 = 4_000;
const TICKETS: u32 = 100_000;
const STREAMS: u32 = 100_000;

fn auth() -> Auth {
    let verifier = Verifier::builder()
        .algorithms([Algorithm::HS256])
        .keys(Key::hmac(SECRET).expect("a key"))
        .issuer("sse-example")
        .audience("sse-example")
        .build()
        .expect("a verifier");
    let tickets = Tickets::new("/events");
    Auth::builder(verifier).tickets(tickets).grants(Grants::claim("topics")).build().expect("rules")
}

/// With a token of this subject, which has an id of its own.
fn head(subject: &str) -> http::Request<()> {
    static ID: AtomicU64 = AtomicU64::new(0);
    let id = format!("{:032x}", ID.fetch_add(1, Ordering::Relaxed));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let claims = serde_json::json!({
        "iss": "sse-example", "aud": "sse-example", "sub": subject, "jti": id,
        "iat": now, "exp": now + 3600, "topics": ["news", "user/ada"],
    });
    let token = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET));
    let head =
        http::Request::get("/events").header("authorization", format!("Bearer {}", token.expect("a token")));
    head.body(()).expect("a request")
}

/// Of one step many times over: the mean and the longest, in microseconds, and what each left behind, in bytes.
#[derive(Default)]
struct Cost {
    total: Duration,
    longest: Duration,
    count: u32,
    before: f64,
}

impl Cost {
    fn new() -> Self {
        Self { before: resident(), ..Self::default() }
    }

    fn time<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = step();
        self.add(start.elapsed());
        done
    }

    fn add(&mut self, took: Duration) {
        self.total += took;
        self.longest = self.longest.max(took);
        self.count += 1;
    }

    fn row(&self, name: &str) -> Vec<String> {
        let mean = self.total.as_secs_f64() * 1e6 / f64::from(self.count);
        let bytes = (resident() - self.before) / f64::from(self.count);
        let longest = self.longest.as_secs_f64() * 1e6;
        vec![
            name.into(),
            self.count.to_string(),
            format!("{mean:.2}"),
            format!("{longest:.0}"),
            format!("{bytes:.0}"),
        ]
    }
}

/// Resident memory, in bytes.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("its memory");
    let pages: f64 = statm.split_whitespace().nth(1).expect("a field").parse().expect("a number");
    pages * 4096.0
}

/// What one process does by itself is done at once.
fn at_once<T>(doing: impl Future<Output = T>) -> T {
    doing.now_or_never().expect("nothing to wait for")
}

async fn client(auth: &Auth, hub: &Hub, subject: &str) -> Authorized {
    auth.authorize(&head(subject), hub.lifecycle()).await.expect("a good token")
}

/// Tokens that are taken back one after the other, and connects beside them.
async fn revocations(rows: &mut Vec<Vec<String>>) {
    let (auth, hub) = (auth(), Hub::new());
    let mut cost = Cost::new();
    let now = SystemTime::now();
    for n in 0..REVOCATIONS {
        let id = format!("revoked-{n:024x}");
        let until = now + Duration::from_secs(60 + u64::from(n % 86_400));
        cost.time(|| at_once(auth.revocations().revoke_token_id_until(&id, until))).expect("nobody to tell");
    }
    rows.push(cost.row("a token is revoked"));
    let good = head("ada");
    let mut cost = Cost::new();
    for _ in 0..CONNECTS {
        let start = Instant::now();
        auth.authorize(&good, hub.lifecycle()).await.expect("a good token");
        cost.add(start.elapsed());
    }
    rows.push(cost.row("a request is let in beside them"));
    let mut cost = Cost::new();
    for n in 0..REVOCATIONS {
        let subject = format!("user-{n}");
        cost.time(|| at_once(auth.revocations().revoke_subject(&subject))).expect("nobody to tell");
    }
    rows.push(cost.row("a subject is revoked"));
}

/// Tickets of some thousand subjects, then their use.
async fn tickets(rows: &mut Vec<Vec<String>>) {
    let (auth, hub) = (auth(), Hub::new());
    let mut clients = Vec::new();
    for n in 0..SUBJECTS {
        clients.push(client(&auth, &hub, &format!("user-{n}")).await);
    }
    let mut cost = Cost::new();
    let mut all = Vec::new();
    for n in 0..TICKETS {
        let client = &clients[(n % SUBJECTS) as usize];
        all.push(cost.time(|| at_once(auth.issue_ticket(client, "news")).expect("a ticket")));
    }
    rows.push(cost.row("a ticket is issued"));
    let mut cost = Cost::new();
    for ticket in all {
        let head = http::Request::get(format!("/events?ticket={}", ticket.as_str()));
        let head = head.body(()).expect("a request");
        let start = Instant::now();
        auth.authorize(&head, hub.lifecycle()).await.expect("a good ticket");
        cost.add(start.elapsed());
    }
    rows.push(cost.row("it is used"));
}

/// Open streams, and one subject that is taken back among them: who has one stream, then who has all.
async fn streams(rows: &mut Vec<Vec<String>>) {
    for (who, owner) in [("each of a subject of its own", None), ("all of one subject", Some("ada"))] {
        let (auth, hub) = (auth(), Hub::new());
        let shared = client(&auth, &hub, "ada").await;
        let mut cost = Cost::new();
        let mut open: Vec<EventStream<Subscription>> = Vec::new();
        for n in 0..STREAMS {
            let own = match owner {
                Some(_) => shared.clone(),
                None => client(&auth, &hub, &format!("user-{n}")).await,
            };
            open.push(cost.time(|| hub.open(&own, "news").expect("a stream")));
        }
        rows.push(cost.row(&format!("a stream is opened, {who}")));
        let mut cost = Cost::new();
        let ended = cost.time(|| at_once(auth.revocations().revoke_subject(owner.unwrap_or("user-50000"))));
        assert_eq!(ended.expect("nobody to tell"), if owner.is_some() { STREAMS as usize } else { 1 });
        rows.push(cost.row(&format!("a subject is revoked, {who}")));
        let mut cost = Cost::new();
        open.into_iter().for_each(|stream| cost.time(|| drop(stream)));
        rows.push(cost.row(&format!("a stream is closed, {who}")));
    }
}

/// The time of one connect and of one event, in microseconds, with or without authorisation.
async fn round(hub: &Hub, auth: Option<&Auth>, head: &http::Request<()>) -> (f64, f64) {
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
            hub.publish_now("news", "x".repeat(100)).expect("published");
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
    let (hub, auth, head) = (Hub::new(), auth(), head("ada"));
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
    let mut rows = Vec::new();
    revocations(&mut rows).await;
    tickets(&mut rows).await;
    streams(&mut rows).await;
    report.text(
        "What is remembered, and what a step costs beside all that was remembered before it: the mean and the longest \
         in µs, and the resident bytes that each left behind, its token and its stream included where it has one.",
    );
    report.table(&["", "times", "mean", "longest", "bytes"], &rows);
    report.finish("auth");
}
