//! How the streams leave when the server stops.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_stream::stream;
use futures_util::future::join_all;
use sse_core::{Event, Hub, Lifecycle, Request, StreamOptions};
use sse_tests::{
    http::{self, without_jitter},
    servers::{App, Framework, OwnStream, Server},
};
use tokio::time::sleep;

fn own(name: &str) -> OwnStream {
    match name {
        "answer" => Box::pin(stream! {
            for n in 0..40 {
                sleep(Duration::from_millis(75)).await;
                yield Ok(Event::new(n.to_string()));
            }
        }),
        "silent" => Box::pin(futures_util::stream::pending()),
        other => panic!("no stream {other}"),
    }
}

fn app(notice: Duration, window: Duration) -> App {
    let lifecycle = Lifecycle::builder().notice(notice).window(window).build();
    let options = StreamOptions::new().farewell(Event::new("bye"));
    let hub = Hub::builder().lifecycle(&lifecycle).stream_options(options.clone()).build();
    App { own, options, ..App::new(hub) }
}

pub(crate) async fn readiness_comes_first(framework: Framework) {
    // As long as the test needs: it goes on by itself then.
    let server = framework.serve(app(Duration::from_secs(60), Duration::ZERO)).await;
    let lifecycle = server.hub.lifecycle().clone();
    let mut before = http::get(server.addr, "/events").await;
    before.until(|text| text.contains("\n\n")).await;
    lifecycle.stop();
    assert!(!lifecycle.is_ready());
    let mut after = http::get(server.addr, "/events").await;
    assert_eq!((after.status, after.header("connection")), (200, None));
    after.until(|text| text.contains("\n\n")).await;
    server.hub.publish("news", "x").await.unwrap();
    for stream in [&mut before, &mut after] {
        assert!(stream.until(|text| text.contains("\n\n")).await.starts_with("data: x\n"));
    }
    lifecycle.stop_at_once();
    for stream in [&mut before, &mut after] {
        assert_eq!(without_jitter(&stream.rest().await), "data: bye\n\nretry: N\n");
    }
    server.stop().await;
}

pub(crate) async fn streams_leave_one_by_one(framework: Framework) {
    const STREAMS: usize = 40;
    const WINDOW: Duration = Duration::from_secs(4);
    let server = framework.serve(app(Duration::ZERO, WINDOW)).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = http::get(server.addr, "/events").await;
        stream.until(|text| text.contains("\n\n")).await;
        streams.push(stream);
    }
    let over = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn(publish_until(server.hub.clone(), Arc::clone(&over)));
    let start = Instant::now();
    server.hub.lifecycle().stop();
    let ends = join_all(streams.iter_mut().map(async |stream| (stream.rest().await, start.elapsed()))).await;
    over.store(true, Ordering::SeqCst);
    let published = publishing.await.unwrap();
    let mut lengths = Vec::new();
    for (text, at) in &ends {
        let seen = http::events(text);
        let (last, seen) = seen.split_last().unwrap();
        assert_eq!(last.data, "bye");
        assert!(without_jitter(text).ends_with("data: bye\n\nretry: N\n"), "{text}");
        let seen: Vec<&str> = seen.iter().map(|event| &*event.data).collect();
        let expected: Vec<String> = (0..seen.len()).map(|n| n.to_string()).collect();
        assert_eq!(seen, expected, "{at:?}");
        lengths.push(seen.len());
    }
    lengths.sort_unstable();
    lengths.dedup();
    // A busy machine has some of them go together, but not all.
    assert!(lengths.len() > 3, "{published} published, sent {lengths:?}");
    let (first, last) =
        (ends.iter().map(|end| end.1).min().unwrap(), ends.iter().map(|end| end.1).max().unwrap());
    assert!(last - first > WINDOW / 4, "{first:?} to {last:?}");
    server.stop().await;
}

async fn publish_until(hub: Hub, over: Arc<AtomicBool>) -> usize {
    let mut published = 0;
    while !over.load(Ordering::SeqCst) {
        hub.publish("news", published.to_string()).await.unwrap();
        published += 1;
        sleep(Duration::from_millis(10)).await;
    }
    published
}

pub(crate) async fn an_answer_is_finished(framework: Framework) {
    let server = framework.serve(app(Duration::ZERO, Duration::from_secs(20))).await;
    let mut answer = http::get(server.addr, "/own/answer").await;
    answer.until(|text| text.contains("data: 0\n\n")).await;
    server.hub.lifecycle().stop();
    let text = answer.rest().await;
    let expected: String = (1..40).map(|n| format!("data: {n}\n\n")).collect();
    assert_eq!(text, expected);
    server.stop().await;
}

pub(crate) async fn whoever_says_nothing_leaves_with_a_farewell(framework: Framework) {
    let server = framework.serve(app(Duration::ZERO, Duration::from_secs(2))).await;
    let mut silent = http::get(server.addr, "/own/silent").await;
    silent.until(|text| text.contains("retry")).await;
    server.hub.lifecycle().stop();
    assert_eq!(without_jitter(&silent.rest().await), "data: bye\n\nretry: N\n");
    server.stop().await;
}

const BROWSER: [(&str, &[u8]); 2] = [("Accept", b"text/event-stream"), ("Sec-Fetch-Mode", b"cors")];

/// A server that is kept up while it stops, and what keeps it.
async fn stopping(framework: Framework) -> (Server, impl Sized) {
    let server = framework.serve(app(Duration::ZERO, Duration::from_secs(60))).await;
    let head = ::http::Request::new(());
    let kept = Vec::from_iter(
        (0..40).map(|_| server.hub.open(&Request::new(&head, server.hub.lifecycle()), "news").unwrap()),
    );
    server.hub.lifecycle().stop();
    (server, kept)
}

pub(crate) async fn whoever_is_told_to_come_back_is_disconnected(framework: Framework) {
    let (server, _kept) = stopping(framework).await;
    for (headers, status) in [(&BROWSER[..], 200), (&[], 503)] {
        let mut answer = http::send(server.addr, "GET", "/events", headers, b"").await;
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")));
        answer.rest().await;
        assert!(answer.is_closed().await);
        // Another answer leaves the connection open.
        let mut blank = http::get(server.addr, "/blank").await;
        assert!(blank.header("connection").is_none_or(|connection| connection == "keep-alive"));
        blank.rest().await;
        assert!(blank.is_silent_for(Duration::from_millis(100)).await);
    }
    server.hub.lifecycle().stop_at_once();
}

pub(crate) async fn over_http_2_the_connection_stays(framework: Framework) {
    let (server, _kept) = stopping(framework).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for _ in 0..3 {
        let url = format!("http://{}/events", server.addr);
        let answer = client.get(url).header("accept", "text/event-stream").header("sec-fetch-mode", "cors");
        let answer = answer.send().await.unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
        assert!(answer.headers().get("connection").is_none());
        assert_eq!(without_jitter(&answer.text().await.unwrap()), "retry: N\n:\n");
    }
    server.hub.lifecycle().stop_at_once();
}
