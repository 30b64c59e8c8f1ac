//! The examples as programs that are told to stop, and to stop again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sse_tests::{examples::Example, http, servers::Framework};
use tokio::time::sleep;

/// What a second signal may take.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn open(example: &Example) -> http::Answer {
    open_at(example, "/events").await
}

async fn open_at(example: &Example, path: &str) -> http::Answer {
    let mut stream = http::get(example.addr, path).await;
    stream.until(|text| text.contains("retry")).await;
    stream
}

/// A hundred streams, one of which reads nothing, of more than sockets hold.
async fn a_second_signal_ends_at_once(framework: Framework) {
    for bin in ["quickstart", "tokens"] {
        let mut example = Example::start(framework, bin).await;
        let stalled = open(&example).await;
        let mut streams = Vec::new();
        for _ in 0..99 {
            streams.push(open_at(&example, "/events?topic=public/other").await);
        }
        if bin == "quickstart" {
            let body = vec![b'x'; 200_000];
            for _ in 0..50 {
                assert_eq!(http::post(example.addr, "/publish", &body).await.0, 202);
            }
        }
        example.signal("TERM").await;
        // The first has come: nobody new is let in.
        let deadline = Instant::now() + Duration::from_secs(20);
        while http::get(example.addr, "/events").await.status != 503 {
            assert!(Instant::now() < deadline, "new streams are still opened");
            sleep(Duration::from_millis(10)).await;
        }
        example.signal("TERM").await;
        let start = Instant::now();
        let code = example.code(Duration::from_secs(20)).await;
        let took = start.elapsed();
        assert!(code == Some(0) && took < AT_ONCE, "{bin}: {code:?} after {took:?}");
        drop((stalled, streams));
    }
}

/// The balancer is told before anybody leaves, and what may be said meanwhile is said.
async fn readiness_turns_before_streams_leave(framework: Framework) {
    let mut example = Example::start_with(framework, "notifications", &[]).await;
    let ready = async || http::get(example.addr, "/readyz").await.status;
    assert_eq!(ready().await, 200);
    let json: [(&str, &[u8]); 1] = [("Content-Type", b"application/json")];
    let mut streams = Vec::new();
    // No more of one person than the example allows.
    for user in ["ada", "bob", "cat", "dan"] {
        let body = serde_json::json!({ "user": user }).to_string();
        let answer = http::send(example.addr, "POST", "/login", &json, body.as_bytes()).await.rest().await;
        let token = serde_json::from_str::<serde_json::Value>(&answer).unwrap()["token"].clone();
        let bearer = format!("Bearer {}", token.as_str().unwrap());
        for _ in 0..10 {
            let header: [(&str, &[u8]); 1] = [("Authorization", bearer.as_bytes())];
            let mut stream = http::send(example.addr, "GET", "/events", &header, b"").await;
            stream.until(|text| text.contains("\n\n")).await;
            streams.push(stream);
        }
    }
    example.signal("TERM").await;
    let start = Instant::now();
    while ready().await != 503 {
        assert!(start.elapsed() < Duration::from_secs(4), "still ready");
        sleep(Duration::from_millis(5)).await;
    }
    for stream in &mut streams {
        assert!(stream.rest().await.ends_with('\n'));
    }
    assert_eq!(example.code(Duration::from_secs(20)).await, Some(0));
}

/// A restart in the middle of publishing: what a client was not sent by the old process, a gap of the new one stands
/// for, and nothing is sent twice.
async fn a_restart_loses_nothing_without_a_word(framework: Framework) {
    const CLIENTS: usize = 20;
    let mut old = Example::start(framework, "quickstart").await;
    let new = Example::start(framework, "quickstart").await;
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        streams.push(open(&old).await);
    }
    let client = reqwest::Client::new();
    let url = format!("http://{}/publish", old.addr);
    let publish = async || {
        let mut published = Vec::new();
        // Until the server has gone.
        while let Ok(answer) = client.post(&url).body(published.len().to_string()).send().await {
            assert_eq!(answer.status().as_u16(), 202);
            let Ok(answer) = answer.json::<serde_json::Value>().await else { break };
            published.push(answer["id"].as_str().unwrap().to_owned());
            sleep(Duration::from_millis(10)).await;
        }
        published
    };
    let read = async {
        sleep(Duration::from_millis(300)).await;
        old.signal("TERM").await;
        join_all(streams.iter_mut().map(http::Answer::rest)).await
    };
    let (published, texts) = tokio::join!(publish(), read);
    assert_eq!(old.code(Duration::from_secs(20)).await, Some(0));
    let (status, _) = http::post(new.addr, "/publish", b"of the new").await;
    assert_eq!(status, 202);
    for text in texts {
        let seen = http::events(&text);
        let seen: Vec<_> = seen.iter().filter(|event| event.kind == "message").collect();
        let first: usize = seen[0].data.parse().unwrap();
        let ids: Vec<_> = seen.iter().map(|event| event.id.clone().unwrap()).collect();
        let acknowledged = ids.iter().take(published.len().saturating_sub(first)).collect::<Vec<_>>();
        assert!(published[first..].iter().zip(acknowledged).all(|(published, sent)| published == sent));
        let last = ids.last().unwrap();
        let mut answer = http::resume(new.addr, "/events", last.as_bytes()).await;
        let text = answer.until(|text| text.contains("data: of the new\n")).await;
        let seen = http::events(&text);
        assert_eq!(seen[0].kind, "sse-gap", "{text}");
        assert!(seen.iter().filter(|event| event.kind == "message").count() <= 1, "{text}");
    }
}

sse_tests::on_each_framework! {
    a_second_signal_ends_at_once
    readiness_turns_before_streams_leave
    a_restart_loses_nothing_without_a_word
}
