//! The examples `notifications` as two nodes on one engine, of different frameworks, behind nginx as `docs/nodes.md` has
//! it: what people see who sign in on one and are served by the other, and when one of them dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sse_tests::{
    engines::{Kind, Running},
    examples::Example,
    http::{self, Answer},
    nats::Nats,
    redis::Redis,
    reverse_proxy::{Program, ReverseProxy},
    servers::Framework,
    tokens,
};
use tokio::time::{sleep, timeout};

/// Longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many notes a reader must get.
const NOTES: usize = 200;

async fn node(framework: Framework, engine: &str) -> Example {
    let env = [("JWT_SECRET", tokens::SECRET), ("ENGINE_URL", engine)];
    Example::start_featured(framework, "notifications", "engines", &env).await
}

async fn post(addr: SocketAddr, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let headers = [("Content-Type", &b"application/json"[..]), ("Authorization", bearer.as_bytes())];
    let mut answer = http::send(addr, "POST", path, &headers, body.to_string().as_bytes()).await;
    // A 204 has no body, and need not say so.
    let text = if answer.status == 204 { String::new() } else { answer.rest().await };
    (answer.status, serde_json::from_str(&text).unwrap_or_default())
}

async fn sign_in(addr: SocketAddr, user: &str) -> String {
    let headers = [("Content-Type", &b"application/json"[..])];
    let body = json!({ "user": user }).to_string();
    let mut answer = http::send(addr, "POST", "/login", &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 200);
    let answer: Value = serde_json::from_str(&answer.rest().await).unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

async fn ask(addr: SocketAddr, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    http::send(addr, "GET", "/events", &[("Authorization", bearer.as_bytes())], b"").await
}

/// A stream that has begun.
async fn open(addr: SocketAddr, token: &str) -> Answer {
    let mut answer = ask(addr, token).await;
    assert_eq!(answer.status, 200);
    answer.until(|text| text.contains("\n\n")).await;
    answer
}

/// Reads notes through the proxy, whatever breaks, until it has the last; their numbers.
async fn reader(proxy: SocketAddr, token: String, ready: tokio::sync::oneshot::Sender<()>) -> Vec<usize> {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let (mut numbers, mut last_id) = (Vec::new(), String::new());
    let mut ready = Some(ready);
    loop {
        let request = client.get(format!("http://{proxy}/events")).bearer_auth(&token);
        let request = if last_id.is_empty() { request } else { request.header("last-event-id", &last_id) };
        let Ok(mut answer) = request.send().await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut text = String::new();
        // Nothing for so long is no answer of a server that is well.
        while let Ok(Ok(Some(chunk))) = timeout(PATIENCE, answer.chunk()).await {
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((block, rest)) = text.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                assert_ne!(field("event: "), Some("sse-gap"), "{block}");
                if let Some(id) = field("id: ") {
                    last_id = id.to_owned();
                }
                if field("event: ") == Some("notification") {
                    let note: Value = serde_json::from_str(field("data: ").unwrap()).unwrap();
                    numbers.push(note["title"].as_str().unwrap().parse().unwrap());
                }
                text = rest.to_owned();
                if let Some(ready) = ready.take() {
                    ready.send(()).unwrap();
                }
            }
            if numbers.last() == Some(&(NOTES - 1)) {
                return numbers;
            }
        }
    }
}

/// A node is killed while notes are published: who read from it gets the rest from the other one, each once.
async fn nobody_misses_a_node_that_dies(engine: &str, [first, second]: [Framework; 2]) {
    let (dies, stays) = (node(first, engine).await, node(second, engine).await);
    let proxy = ReverseProxy::between([dies.addr, stays.addr]).await;
    let token = sign_in(proxy.addr(), "ada").await;
    let mut readers = Vec::new();
    for _ in 0..6 {
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        readers.push(tokio::spawn(reader(proxy.addr(), token.clone(), ready)));
        timeout(PATIENCE, is_ready).await.expect("a stream opens in time").unwrap();
    }
    assert!(dies.connections().is_none_or(|count| count > 0), "nobody reads from the one that dies");
    for n in 0..NOTES {
        if n == NOTES / 2 {
            dies.signal("KILL").await;
        }
        let note = json!({ "to": "ada", "title": n.to_string(), "body": "" });
        let (status, _) = post(stays.addr, "/notify", &token, &note).await;
        assert_eq!(status, 202);
    }
    for reader in readers {
        let numbers = timeout(PATIENCE, reader).await.expect("it gets the last in time").unwrap();
        assert_eq!(numbers, (0..NOTES).collect::<Vec<_>>());
    }
}

/// Signing out on one node ends the streams of the other, and a ticket of one opens a stream of the other, once.
async fn who_signs_out_is_out_everywhere(engine: &str, [first, second]: [Framework; 2]) {
    let (one, other) = (node(first, engine).await, node(second, engine).await);
    let token = sign_in(one.addr, "ada").await;
    let bob = sign_in(one.addr, "bob").await;
    let mut streams = [open(one.addr, &token).await, open(other.addr, &token).await];
    let mut bobs = open(other.addr, &bob).await;

    let (status, ticket) = post(one.addr, "/ticket", &token, &json!({})).await;
    assert_eq!(status, 200);
    let path = format!("/events?ticket={}", ticket["ticket"].as_str().unwrap());
    let mut by_ticket = http::get(other.addr, &path).await;
    assert_eq!(by_ticket.status, 200);
    by_ticket.until(|text| text.contains("\n\n")).await;
    assert_eq!(http::get(one.addr, &path).await.status, 401);

    let (status, _) = post(other.addr, "/logout", &token, &json!({})).await;
    assert_eq!(status, 204);
    let signed_out = Instant::now();
    for stream in streams.iter_mut().chain([&mut by_ticket]) {
        timeout(PATIENCE, stream.rest()).await.expect("it ends");
    }
    // A second is the promise; the machine may be busy.
    assert!(signed_out.elapsed() < Duration::from_secs(10), "{:?}", signed_out.elapsed());
    eprintln!("streams on both nodes ended {:?} after the answer to the sign-out", signed_out.elapsed());
    for addr in [one.addr, other.addr] {
        assert_eq!(ask(addr, &token).await.status, 401);
    }
    let (status, _) = post(one.addr, "/notify", &bob, &json!({ "title": "still", "body": "there" })).await;
    assert_eq!(status, 202);
    bobs.until(|text| text.contains("still")).await;

    let metrics = http::get(other.addr, "/metrics").await.rest().await;
    for name in ["# TYPE sse_engine_delay_seconds histogram", "# TYPE sse_engine_away_seconds gauge"] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }

    // A node that starts now knows it before it answers.
    let late = node(first, engine).await;
    assert_eq!(ask(late.addr, &token).await.status, 401);
}

/// Nobody is told what the others may not know: while the engine is away nothing is signed out, and no ticket is given.
async fn while_the_engine_is_away_nobody_is_signed_out(kind: Kind) {
    let Some(mut engine) = Running::start(kind).await else { return };
    let mut cases = Vec::new();
    for framework in Framework::ALL {
        let nodes = [node(framework, &engine.url()).await, node(framework, &engine.url()).await];
        // Each a user of their own: who is signed out is so on all nodes.
        let token = sign_in(nodes[0].addr, framework.name()).await;
        let stream = open(nodes[1].addr, &token).await;
        cases.push((framework, nodes, token, stream));
    }
    engine.stop().await;
    join_all(cases.iter().map(async |(framework, [here, _], token, _)| {
        let note = json!({ "title": "a", "body": "b" });
        let answers = ["/ticket", "/notify"].map(|path| post(here.addr, path, token, &note));
        for (status, _) in join_all(answers).await {
            assert_eq!(status, 503, "{}", framework.name());
        }
        let (status, _) = post(here.addr, "/logout", token, &note).await;
        assert_eq!(status, 503, "{}", framework.name());
    }))
    .await;
    for (.., elsewhere) in &mut cases {
        let ends = timeout(Duration::from_millis(300), elsewhere.rest()).await;
        assert!(ends.is_err(), "the other node cannot know it");
    }
    engine.start_again().await;
    let back = Instant::now();
    // The node that could not say it says it now, asked again or not.
    for (_, nodes, token, mut elsewhere) in cases {
        timeout(PATIENCE, elsewhere.rest()).await.expect("it ends");
        eprintln!("a stream elsewhere ended {:?} after the engine was back", back.elapsed());
        for node in &nodes {
            assert_eq!(ask(node.addr, &token).await.status, 401);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_nobody_is_signed_out() {
    while_the_engine_is_away_nobody_is_signed_out(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nats_is_away_nobody_is_signed_out() {
    while_the_engine_is_away_nobody_is_signed_out(Kind::Nats).await;
}

/// A test of each, on Redis and on NATS, with each framework on either side.
macro_rules! on_each_engine {
    ($($case:ident)*) => {$(
        mod $case {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn redis() {
                if Redis::is_available() && Program::Nginx.is_available() {
                    let redis = Redis::start().await;
                    super::$case(&redis.url(), [Framework::Actix, Framework::Rocket]).await;
                    super::$case(&redis.url(), [Framework::Rocket, Framework::Warp]).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn nats() {
                if Nats::is_available() && Program::Nginx.is_available() {
                    let nats = Nats::start().await;
                    super::$case(&nats.url(), [Framework::Warp, Framework::Actix]).await;
                    super::$case(&nats.url(), [Framework::Actix, Framework::Rocket]).await;
                }
            }
        }
    )*};
}

on_each_engine! {
    nobody_misses_a_node_that_dies
    who_signs_out_is_out_everywhere
}
