//! What one endpoint has otherwise than its hub: where streams begin, what keeps them alive, what they open with, what
//! they replay; whose events they carry; and streams that answer a POST.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;
use sse_core::{Event, EventId, EventName, Hub, OnGap, Start, StreamOptions};
use sse_tests::{
    http::{self, Seen},
    servers::{App, Framework, Server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

const PING: EventName = EventName::from_static("ping");

async fn serve(framework: Framework, hub: Hub, endpoints: &[(&'static str, StreamOptions)]) -> Server {
    let endpoints: HashMap<_, _> = endpoints.iter().cloned().collect();
    let own = |_: &str| -> sse_tests::servers::OwnStream { Box::pin(futures_util::stream::pending()) };
    let options = endpoints.get("own").cloned().unwrap_or_default();
    framework.serve(App { endpoints, own, options, ..App::new(hub) }).await
}

async fn publish(hub: &Hub, numbers: std::ops::Range<usize>) -> Vec<EventId> {
    let mut ids = Vec::new();
    for n in numbers {
        ids.push(hub.publish("news", n.to_string()).await.unwrap());
    }
    ids
}

async fn events_until(answer: &mut http::Answer, last: &str) -> Vec<Seen> {
    http::events(&answer.until(|text| http::events(text).iter().any(|seen| seen.data == last)).await)
}

fn data(seen: &[Seen]) -> Vec<&str> {
    seen.iter().filter(|seen| seen.kind == "message").map(|seen| &*seen.data).collect()
}

pub(crate) async fn each_endpoint_begins_where_it_says(framework: Framework) {
    let hub = Hub::new();
    let ids = publish(&hub, 0..5).await;
    sleep(Duration::from_millis(20)).await;
    let since = SystemTime::now();
    sleep(Duration::from_millis(20)).await;
    publish(&hub, 5..8).await;
    let options = hub.stream_options();
    let server = serve(
        framework,
        hub,
        &[
            ("now", options.clone()),
            ("oldest", options.clone().start(Start::Oldest)),
            ("last", options.clone().start(Start::Last(2))),
            ("since", options.clone().start(Start::Since(since))),
            ("after", options.start(Start::After(ids[3]))),
        ],
    )
    .await;
    let expected: [(&str, &[&str]); 5] = [
        ("now", &["end"]),
        ("oldest", &["0", "1", "2", "3", "4", "5", "6", "7", "end"]),
        ("last", &["6", "7", "end"]),
        ("since", &["5", "6", "7", "end"]),
        ("after", &["4", "5", "6", "7", "end"]),
    ];
    let mut answers = Vec::new();
    for (name, _) in expected {
        let mut answer = http::get(server.addr, &format!("/with/{name}")).await;
        // Opened, so that it is certain what `now` is.
        let opening = answer.until(|text| text.contains("\n\n")).await;
        answers.push((answer, opening));
    }
    server.hub.publish("news", "end").await.unwrap();
    for ((name, expected), (mut answer, opening)) in expected.into_iter().zip(answers) {
        let text =
            opening + &answer.until(|text| text.contains("data: end\n") && text.ends_with("\n\n")).await;
        assert_eq!(data(&http::events(&text)), expected, "{name}");
        // Who comes back goes on where he was, wherever others begin.
        let mut back =
            http::resume(server.addr, &format!("/with/{name}"), ids[1].to_string().as_bytes()).await;
        assert_eq!(
            data(&events_until(&mut back, "end").await),
            ["2", "3", "4", "5", "6", "7", "end"],
            "{name}"
        );
    }
}

pub(crate) async fn a_named_event_keeps_a_stream_alive(framework: Framework) {
    let ping = StreamOptions::new()
        .keep_alive(Duration::from_millis(200))
        .keep_alive_event(Event::new("{\"type\": \"ping\"}").named(PING));
    let hub = Hub::new();
    let server = serve(framework, hub, &[("ping", ping.clone()), ("own", ping)]).await;
    for path in ["/with/ping", "/own/silent"] {
        let mut answer = http::get(server.addr, path).await;
        let opening = if path == "/own/silent" { "retry" } else { "\n\n" };
        answer.until(|text| text.contains(opening) && text.ends_with('\n')).await;
        for _ in 0..3 {
            let sent = answer.chunk().await.unwrap();
            assert_eq!(sent, b"event: ping\ndata: {\"type\": \"ping\"}\n\n", "{path}");
        }
    }
}

/// Whether the server has closed its place, once nobody can read any more.
async fn is_freed(server: &Server, within: Duration) -> bool {
    let start = Instant::now();
    while server.hub.lifecycle().streams() > 0 {
        if start.elapsed() > within {
            return false;
        }
        sleep(Duration::from_millis(10)).await;
    }
    true
}

pub(crate) async fn without_keep_alive_nothing_is_sent_and_who_leaves_is_noticed(framework: Framework) {
    let silent = StreamOptions::new().keep_alive(Duration::from_millis(200)).no_keep_alive();
    let hub = Hub::new();
    let server = serve(framework, hub, &[("silent", silent.clone()), ("own", silent)]).await;
    for path in ["/with/silent", "/own/silent"] {
        let mut answer = http::get(server.addr, path).await;
        let opening = if path == "/own/silent" { "retry" } else { "\n\n" };
        answer.until(|text| text.contains(opening) && text.ends_with('\n')).await;
        assert!(answer.is_silent_for(Duration::from_millis(600)).await, "{path}");
        assert_eq!(server.hub.lifecycle().streams(), 1);
        drop(answer);
        if framework == Framework::Rocket {
            // It learns by writing alone.
            assert!(!is_freed(&server, Duration::from_secs(1)).await, "Rocket notices by itself now: say so");
            if path == "/own/silent" {
                return;
            }
            let start = Instant::now();
            while server.hub.lifecycle().streams() > 0 {
                assert!(start.elapsed() < PATIENCE, "not noticed by writing either");
                server.hub.publish("news", "x").await.unwrap();
                sleep(Duration::from_millis(50)).await;
            }
        } else {
            assert!(is_freed(&server, PATIENCE).await, "{path}: nobody notices");
        }
    }
}

/// Reads what is there, to the end of the head; `None` where it does not come within a second.
async fn head_within_a_second(server: &Server, path: &str) -> Option<(TcpStream, String, Vec<u8>)> {
    let mut socket = TcpStream::connect(server.addr).await.unwrap();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let head = timeout(Duration::from_secs(1), async {
        loop {
            if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return end + 4;
            }
            assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0);
        }
    })
    .await
    .ok()?;
    let body = read.split_off(head);
    Some((socket, String::from_utf8(read).unwrap(), body))
}

pub(crate) async fn the_head_comes_at_once_without_a_word(framework: Framework) {
    let bare = StreamOptions::new().opening_comment(false).no_retry();
    let hub = Hub::builder().positions(false).build();
    let server = serve(framework, hub, &[("bare", bare.clone()), ("own", bare)]).await;
    for path in ["/own/silent", "/with/bare"] {
        let answer = head_within_a_second(&server, path).await;
        let (mut socket, head, body) = answer.unwrap_or_else(|| panic!("{path}: no head within a second"));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, b"", "{path}");
        let mut more = Vec::new();
        let silent = timeout(Duration::from_millis(300), socket.read_buf(&mut more)).await;
        assert!(silent.is_err(), "{path}: {more:?}");
    }
    // What comes then is the event and nothing else.
    let mut answer = http::get(server.addr, "/with/bare").await;
    let id = server.hub.publish("news", "x").await.unwrap();
    assert_eq!(answer.until(|text| text.contains("\n\n")).await, format!("data: x\nid: {id}\n\n"));
}

pub(crate) async fn each_endpoint_has_its_own_caps_and_gaps(framework: Framework) {
    let hub = Hub::builder().max_events(6).build();
    let options = hub.stream_options();
    let ids = publish(&hub, 0..10).await;
    let lost = ids[1].to_string();
    let server = serve(
        framework,
        hub,
        &[
            ("all", options.clone()),
            ("two", options.clone().max_replay_events(2)),
            ("bytes", options.clone().max_replay_bytes(1)),
            ("now", options.clone().on_gap(OnGap::Now)),
            ("close", options.on_gap(OnGap::Close)),
        ],
    )
    .await;
    let resume =
        async |name: &str, id: &str| http::resume(server.addr, &format!("/with/{name}"), id.as_bytes()).await;
    // A capped replay ends, and goes on where it was.
    for (name, rounds) in
        [("two", vec![vec!["4", "5"], vec!["6", "7"]]), ("bytes", vec![vec!["4"], vec!["5"]])]
    {
        let mut id = ids[3].to_string();
        for expected in rounds {
            let seen = http::events(&resume(name, &id).await.rest().await);
            assert_eq!(data(&seen), expected, "{name}");
            id = seen.last().unwrap().id.clone().unwrap();
        }
    }
    let seen = http::events(&resume("close", &lost).await.rest().await);
    assert_eq!((seen.len(), &*seen[0].kind), (1, "sse-gap"));
    let mut all = resume("all", &lost).await;
    let mut now = resume("now", &lost).await;
    let gap = now.until(|text| text.contains("\n\n")).await;
    server.hub.publish("news", "end").await.unwrap();
    let seen = events_until(&mut all, "end").await;
    assert_eq!((&*seen[0].kind, data(&seen)), ("sse-gap", vec!["4", "5", "6", "7", "8", "9", "end"]));
    assert_eq!(http::events(&gap)[0].kind, "sse-gap");
    assert_eq!(data(&events_until(&mut now, "end").await), ["end"]);
}

pub(crate) async fn each_client_sees_what_it_may(framework: Framework) {
    let server = serve(framework, Hub::new(), &[]).await;
    let start = server.hub.position().to_string();
    let say = async |to: &str, text: &str| {
        let said = Event::json(&json!({ "to": to, "text": text })).unwrap();
        server.hub.publish("news", said).await.unwrap()
    };
    let mut ada = http::resume(server.addr, "/for/ada", start.as_bytes()).await;
    let mut bob = http::resume(server.addr, "/for/bob", start.as_bytes()).await;
    say("ada", "a1").await;
    let b1 = say("bob", "b1").await;
    say("ada", "a2").await;
    let all = say("all", "x").await;
    let (for_ada, for_bob) = (events_until(&mut ada, "\"x\"").await, events_until(&mut bob, "\"x\"").await);
    assert_eq!(data(&for_ada), ["\"a1\"", "\"a2\"", "\"x\""]);
    assert_eq!(data(&for_bob), ["\"b1\"", "\"x\""]);
    // Under the log's ids, so that whoever is cut goes on from any of them, with his own and nothing twice.
    let ids: Vec<_> =
        for_bob.iter().filter(|seen| seen.kind == "message").map(|seen| seen.id.clone()).collect();
    assert_eq!(ids, [Some(b1.to_string()), Some(all.to_string())]);
    drop((ada, bob));
    say("ada", "a3").await;
    say("bob", "b2").await;
    let mut bob = http::resume(server.addr, "/for/bob", b1.to_string().as_bytes()).await;
    assert_eq!(data(&events_until(&mut bob, "\"b2\"").await), ["\"x\"", "\"b2\""]);
    let mut ada = http::resume(server.addr, "/for/ada", all.to_string().as_bytes()).await;
    assert_eq!(data(&events_until(&mut ada, "\"a3\"").await), ["\"a3\""]);
}

pub(crate) async fn a_post_names_its_topics_in_the_body(framework: Framework) {
    let server = serve(framework, Hub::new(), &[]).await;
    let post = async |body: &str| {
        let json: [(&str, &[u8]); 1] = [("Content-Type", b"application/json")];
        http::send(server.addr, "POST", "/posted", &json, body.as_bytes()).await
    };
    let mut answer = post("[\"a\", \"b/c\"]").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    answer.until(|text| text.contains("\n\n")).await;
    for (topic, text) in [("a", "1"), ("news", "2"), ("b/c", "3"), ("b", "4"), ("a", "5")] {
        server.hub.publish(topic, text).await.unwrap();
    }
    assert_eq!(data(&events_until(&mut answer, "5").await), ["1", "3", "5"]);
    // What names no topics opens nothing.
    for body in ["[]", "[\"\"]", "[\"a\\nb\"]", "{", ""] {
        let mut answer = post(body).await;
        assert!(matches!(answer.status, 400 | 422), "{body}: {}", answer.status);
        answer.rest().await;
    }
    assert_eq!(server.hub.lifecycle().streams(), 1);
}
