//! `Last-Event-ID`: whatever it holds, a stream; exactly what was missed, or one gap.

use std::time::Duration;

use sse_core::{Event, EventId, Hub, StreamOptions};
use sse_tests::{
    http::{self, Seen},
    proxy::Proxy,
    servers::{App, Framework, Server},
};

async fn publish(hub: &Hub, numbers: std::ops::Range<usize>) -> Vec<EventId> {
    let mut ids = Vec::new();
    for n in numbers {
        ids.push(hub.publish("news", n.to_string()).await.unwrap());
    }
    ids
}

/// What a client sees that comes with this id, up to a last event that is published now.
async fn replay(server: &Server, id: &[u8]) -> Vec<Seen> {
    let answer = http::resume(server.addr, "/events", id).await;
    read_on(server, answer).await
}

async fn read_on(server: &Server, mut answer: http::Answer) -> Vec<Seen> {
    assert_eq!(answer.status, 200);
    let opening = answer.until(|text| text.contains("\n\n")).await;
    server.hub.publish("news", Event::new("").name("last").unwrap()).await.unwrap();
    let rest = answer.until(|text| http::events(text).iter().any(|seen| seen.kind == "last")).await;
    let mut seen = http::events(&(opening + &rest));
    seen.pop();
    seen
}

fn data(seen: &[Seen]) -> Vec<&str> {
    seen.iter().filter(|seen| seen.kind == "message").map(|seen| seen.data.as_str()).collect()
}

fn kinds(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.kind.as_str()).filter(|kind| *kind != "message").collect()
}

fn gap(seen: &[Seen]) -> serde_json::Value {
    assert_eq!(seen[0].kind, "sse-gap", "{seen:?}");
    serde_json::from_str(&seen[0].data).unwrap()
}

pub(crate) async fn without_a_position_a_stream_begins_now(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    publish(&server.hub, 0..3).await;
    for headers in [&[][..], &[("Last-Event-ID", &b""[..])]] {
        let position = server.hub.position();
        let answer = http::send(server.addr, "GET", "/events", headers, b"").await;
        let seen = read_on(&server, answer).await;
        assert_eq!(kinds(&seen), ["sse-position"]);
        assert_eq!(seen[0].id, Some(position.to_string()));
        assert!(data(&seen).is_empty());
    }
}

pub(crate) async fn the_newest_id_replays_nothing(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    let ids = publish(&server.hub, 0..5).await;
    let seen = replay(&server, ids[4].to_string().as_bytes()).await;
    assert_eq!(kinds(&seen), ["sse-position"]);
    assert_eq!(seen[0].id, Some(ids[4].to_string()));
    assert!(data(&seen).is_empty());
}

pub(crate) async fn an_id_in_the_middle_replays_the_rest(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    let ids = publish(&server.hub, 0..5).await;
    let seen = replay(&server, ids[1].to_string().as_bytes()).await;
    assert_eq!(data(&seen), ["2", "3", "4"]);
    assert!(kinds(&seen).is_empty());
}

pub(crate) async fn a_trimmed_id_gets_one_gap(framework: Framework) {
    let hub = Hub::builder().max_events(3).build();
    let server = framework.serve(App::new(hub)).await;
    let start = server.hub.position();
    let ids = publish(&server.hub, 0..10).await;
    for (from, id) in [("start", start), ("an early event", ids[2])] {
        let seen = http::events(
            &http::resume(server.addr, "/events", id.to_string().as_bytes())
                .await
                .until(|text| http::events(text).len() == 4)
                .await,
        );
        assert_eq!(data(&seen), ["7", "8", "9"], "{from}");
        assert_eq!(kinds(&seen), ["sse-gap"]);
        let gap = gap(&seen);
        assert_eq!(gap["reason"], "trimmed");
        assert_eq!(gap["after"], id.to_string());
        assert_eq!(gap["upto"], ids[6].to_string());
        assert_eq!(gap["topics"], serde_json::json!(["news"]));
        assert_eq!(seen[0].id, Some(ids[6].to_string()));
    }
    // The last one that is gone is no loss to who has it.
    let seen = replay(&server, ids[6].to_string().as_bytes()).await;
    assert!(kinds(&seen).is_empty());
    // Other topics lost nothing.
    let path = "/events?topic=quiet";
    let mut answer = http::resume(server.addr, path, start.to_string().as_bytes()).await;
    let seen = http::events(&answer.until(|text| text.contains("\n\n")).await);
    assert_eq!(kinds(&seen), ["sse-position"]);
}

pub(crate) async fn an_id_from_before_a_restart_gets_one_gap_and_everything(framework: Framework) {
    let before = Hub::new();
    let old = publish(&before, 0..5).await;
    let server = framework.serve(App::new(Hub::new())).await;
    publish(&server.hub, 10..12).await;
    let seen = replay(&server, old[4].to_string().as_bytes()).await;
    assert_eq!(data(&seen), ["10", "11"]);
    assert_eq!(kinds(&seen), ["sse-gap"]);
    assert_eq!(gap(&seen)["reason"], "restarted");
    assert_eq!(gap(&seen)["after"], old[4].to_string());
}

pub(crate) async fn an_id_in_the_future_gets_one_gap(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    let ids = publish(&server.hub, 0..2).await;
    let text = ids[1].to_string();
    let (epoch, _) = text.split_once('-').unwrap();
    for seq in ["3", "1000", "18446744073709551615"] {
        let head = server.hub.position();
        let seen = replay(&server, format!("{epoch}-{seq}").as_bytes()).await;
        // Each round publishes one event, so the nearest future is reached in the end.
        if seq == "3" || !seen.is_empty() {
            assert_eq!(kinds(&seen), ["sse-gap"], "{seq}");
            assert_eq!(gap(&seen)["reason"], "unknown");
            assert_eq!(seen[0].id, Some(head.to_string()));
            assert!(data(&seen).is_empty());
        }
    }
}

pub(crate) async fn any_header_gets_a_stream(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    publish(&server.hub, 0..2).await;
    for len in [1, 2, 128, 1024, 1025, 8000, 64_000] {
        let seen = replay(&server, &vec![b'x'; len]).await;
        assert_eq!(kinds(&seen), ["sse-gap"], "{len} bytes");
        assert_eq!(gap(&seen)["reason"], "unknown");
        assert!(data(&seen).is_empty());
    }
    let strange: [&[u8]; 4] = ["é".as_bytes(), b"a b", b"a\t1", b"-"];
    for id in strange {
        let seen = replay(&server, id).await;
        assert_eq!(kinds(&seen), ["sse-gap"], "{id:?}");
    }
    // Rocket drops what is not UTF-8 before anybody sees it.
    let seen = replay(&server, b"\xff\xfe").await;
    let expected = if framework == Framework::Rocket { "sse-position" } else { "sse-gap" };
    assert_eq!(kinds(&seen), [expected]);

    let ids = publish(&server.hub, 5..7).await;
    let (first, second) = (ids[0].to_string(), ids[1].to_string());
    let twice = [("Last-Event-ID", first.as_bytes()), ("Last-Event-ID", second.as_bytes())];
    let answer = http::send(server.addr, "GET", "/events", &twice, b"").await;
    let seen = read_on(&server, answer).await;
    assert_eq!(data(&seen), ["6"], "the first one counts");
}

pub(crate) async fn a_client_cut_before_its_first_event_misses_nothing(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    publish(&server.hub, 0..3).await;
    let mut answer = http::get(server.addr, "/events").await;
    let seen = http::events(&answer.until(|text| text.contains("\n\n")).await);
    let id = seen[0].id.clone().unwrap();
    drop(answer);
    publish(&server.hub, 3..5).await;
    let seen = replay(&server, id.as_bytes()).await;
    assert_eq!(data(&seen), ["3", "4"]);
    assert!(kinds(&seen).is_empty());
}

pub(crate) async fn the_query_stands_in_for_the_header(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    let ids = publish(&server.hub, 0..4).await;
    for name in ["last_event_id", "lastEventId"] {
        let answer = http::get(server.addr, &format!("/events?{name}={}", ids[1])).await;
        assert_eq!(data(&read_on(&server, answer).await), ["2", "3"]);
    }
    // The header is what the browser knows better.
    let path = format!("/events?last_event_id={}", ids[0]);
    let answer = http::resume(server.addr, &path, ids[2].to_string().as_bytes()).await;
    assert_eq!(data(&read_on(&server, answer).await), ["3"]);
    let answer = http::get(server.addr, "/events?last_event_id=%ff").await;
    assert_eq!(kinds(&read_on(&server, answer).await), ["sse-gap"]);
}

pub(crate) async fn an_event_of_several_topics_comes_once(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    let start = server.hub.position();
    for (topics, text) in
        [(vec!["a", "b"], "1"), (vec!["b"], "2"), (vec!["c"], "3"), (vec!["c", "a", "b"], "4")]
    {
        server.hub.publish(topics, text).await.unwrap();
    }
    let path = "/events?topic=b&topic=a&topic=b";
    let mut answer = http::resume(server.addr, path, start.to_string().as_bytes()).await;
    let seen = http::events(&answer.until(|text| text.contains("data: 4")).await);
    assert_eq!(data(&seen), ["1", "2", "4"]);
}

pub(crate) async fn a_quiet_client_is_told_its_position(framework: Framework) {
    let options = StreamOptions::new().keep_alive(Duration::from_millis(250));
    let hub = Hub::builder().max_events(4).stream_options(options).build();
    let server = framework.serve(App::new(hub)).await;
    let mut answer = http::get(server.addr, "/events?topic=quiet").await;
    answer.until(|text| text.contains("\n\n")).await;
    // Its position is still in the log: nothing but a comment.
    assert_eq!(answer.until(|text| !text.is_empty()).await, ":\n");
    publish(&server.hub, 0..10).await;
    let text = answer.until(|text| text.contains("\n\n")).await;
    let seen = http::events(&text);
    assert_eq!(kinds(&seen), ["sse-position"]);
    assert_eq!(seen[0].id, Some(server.hub.position().to_string()));
    assert_eq!(answer.until(|text| !text.is_empty()).await, ":\n");
}

pub(crate) async fn a_capped_replay_goes_on_after_reconnects(framework: Framework) {
    let hub = Hub::builder().stream_options(StreamOptions::new().max_replay_events(4)).build();
    let server = framework.serve(App::new(hub)).await;
    let mut id = server.hub.position().to_string();
    publish(&server.hub, 0..10).await;
    let mut all = Vec::new();
    for expected in [4, 4, 2] {
        let mut answer = http::resume(server.addr, "/events", id.as_bytes()).await;
        let text = if expected == 4 {
            answer.rest().await
        } else {
            answer.until(|text| http::events(text).len() == 2).await
        };
        let seen = http::events(&text);
        assert_eq!(seen.len(), expected);
        id = seen.last().unwrap().id.clone().unwrap();
        all.extend(seen);
    }
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(data(&all), expected);
}

pub(crate) async fn cut_anywhere_nothing_is_lost_or_repeated(framework: Framework) {
    const EVENTS: usize = 400;
    let server = framework.serve(App::new(Hub::new())).await;
    let mut id = server.hub.position().to_string();
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let cuts = std::iter::repeat_with(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        700 + (seed % 2500) as usize
    });
    let proxy = Proxy::start(server.addr, cuts.take(60)).await.unwrap();
    let hub = server.hub.clone();
    let publisher = tokio::spawn(async move {
        for n in 0..EVENTS {
            hub.publish("news", format!("{n}\n{}", "x".repeat(n % 90))).await.unwrap();
            if n % 7 == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    let client = reqwest::Client::new();
    let mut all = Vec::new();
    while all.len() < EVENTS {
        let request = client.get(format!("http://{}/events", proxy.addr())).header("last-event-id", &id);
        let Ok(mut answer) = request.send().await else {
            continue;
        };
        let mut text = String::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            if all.len() + http::events(&text).iter().filter(|seen| seen.kind == "message").count() >= EVENTS
            {
                break;
            }
        }
        for seen in http::events(&text) {
            assert_ne!(seen.kind, "sse-gap");
            id = seen.id.clone().unwrap();
            if seen.kind == "message" {
                all.push(seen.data.split_once('\n').unwrap().0.parse::<usize>().unwrap());
            }
        }
    }
    publisher.await.unwrap();
    assert_eq!(all, (0..EVENTS).collect::<Vec<_>>());
    assert!(proxy.cuts() > 5, "{} cuts", proxy.cuts());
}
