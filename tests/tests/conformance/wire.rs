//! Heads, bytes and chunks.

use std::time::Duration;

use async_stream::stream;
use sse_core::{Event, Hub, STREAM_HEADERS, StreamOptions};
use sse_tests::{
    http::{self, Seen, without_jitter},
    servers::{App, Framework, OwnStream},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn own(name: &str) -> OwnStream {
    match name {
        "plain" => Box::pin(stream! {
            yield Ok(Event::new("one"));
            yield Event::new(" two\n\nthree\r\n").name("näme").map_err(|error| error.to_string());
            yield Ok(Event::new("").id("id-4").unwrap().comment("a\nb").retry(Duration::from_secs(2)));
        }),
        "forged" => Box::pin(stream! {
            yield Ok(Event::new("x\nevent: forged\nid: 1\n\ndata: y\rretry: 1\r\n:\u{0}\u{2028}z"));
        }),
        "forged-names" => Box::pin(stream! {
            let bad = "x\ndata: forged\n";
            assert!(Event::new("").id(bad).is_err() && Event::new("").name("sse-gap").is_err());
            yield Ok(Event::new("before").comment(bad));
            yield Event::new("never").name(bad).map_err(|error| error.to_string());
        }),
        "silent" => Box::pin(futures_util::stream::pending()),
        "busy" => Box::pin(stream! {
            for n in 0..20 {
                yield Ok(Event::new(n.to_string()));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }),
        "sizes" => Box::pin(stream! {
            for n in 0..300usize {
                yield Ok(Event::new("x".repeat(n * 37 % 1500)));
            }
            yield Ok(Event::new("y".repeat(20_000)));
        }),
        other => panic!("no stream {other}"),
    }
}

fn app(hub: Hub) -> App {
    App { own, ..App::new(hub) }
}

pub(crate) async fn the_head_is_that_of_an_event_stream(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    for path in ["/events", "/own/silent"] {
        let answer = http::get(server.addr, path).await;
        assert_eq!(answer.status, 200);
        for (name, value) in STREAM_HEADERS {
            assert_eq!(answer.header(name), Some(value));
        }
        for name in ["connection", "content-length", "etag", "vary"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    }
}

pub(crate) async fn the_first_bytes_come_at_once(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let mut answer = http::get(server.addr, "/own/silent").await;
    let first = answer.chunk().await.unwrap();
    assert_eq!(without_jitter(std::str::from_utf8(&first).unwrap()), ":\nretry: N\n");
    assert!(answer.is_silent_for(Duration::from_millis(200)).await);
}

pub(crate) async fn own_streams_are_sent_byte_for_byte(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let body = http::get(server.addr, "/own/plain").await.rest().await;
    let expected = ":\nretry: N\ndata: one\n\nevent: näme\ndata:  two\ndata: \ndata: three\ndata: \n\n\
        : a\n: b\nretry: N\ndata: \nid: id-4\n\n";
    assert_eq!(without_jitter(&body), expected);
}

pub(crate) async fn hub_streams_are_sent_byte_for_byte(framework: Framework) {
    let hub = Hub::new();
    let start = hub.position();
    let server = framework.serve(app(hub)).await;
    let mut answer = http::get(server.addr, "/events").await;
    let opening = answer.until(|text| text.contains("{}")).await;
    let position = format!(":\nretry: N\nevent: sse-position\ndata: {{}}\nid: {start}\n\n");
    assert_eq!(without_jitter(&opening), position);
    let event = Event::new("a\nb").name("n").unwrap();
    let id = server.hub.publish("news", event).await.unwrap();
    let expected = format!("event: n\ndata: a\ndata: b\nid: {id}\n\n");
    assert_eq!(answer.until(|text| text.len() >= expected.len()).await, expected);
    // What is due at the opening takes the place of the position, in the same bytes as it was sent live.
    let mut replayed = http::resume(server.addr, "/events", start.to_string().as_bytes()).await;
    let body = replayed.until(|text| text.ends_with(&expected)).await;
    assert_eq!(without_jitter(&body), format!(":\nretry: N\n{expected}"));
}

pub(crate) async fn forged_events_stay_data(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let mut answer = http::get(server.addr, "/events").await;
    answer.until(|text| text.contains("{}")).await;
    let data = "x\n\nevent: forged\ndata: y\r\rid: 1\r\n:\nretry: 1";
    server.hub.publish("news", data).await.unwrap();
    let seen = http::events(&answer.until(|text| text.contains("retry: 1\nid: ")).await);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].data, data.replace("\r\n", "\n").replace('\r', "\n"));
    assert_eq!(seen[0].kind, "message");

    let body = http::get(server.addr, "/own/forged").await.rest().await;
    let data = "x\nevent: forged\nid: 1\n\ndata: y\nretry: 1\n:\u{0}\u{2028}z";
    assert_eq!(http::events(&body), [Seen { kind: "message".into(), data: data.into(), id: None }]);

    // A name that would forge is an error where it is built; the stream ends, the server does not.
    let body = http::get(server.addr, "/own/forged-names").await.rest().await;
    assert_eq!(without_jitter(&body), ":\nretry: N\n: x\n: data: forged\n: \ndata: before\n\n");
}

pub(crate) async fn chunks_hold_whole_events(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let mut answer = http::get(server.addr, "/own/sizes").await;
    let (mut body, mut cuts, mut chunks) = (Vec::new(), 0, 0);
    while let Some(chunk) = answer.chunk().await {
        cuts += usize::from(!chunk.ends_with(b"\n"));
        chunks += 1;
        if framework == Framework::Rocket {
            assert!(chunk.len() <= 4096);
        }
        body.extend_from_slice(&chunk);
    }
    assert_eq!(http::events(std::str::from_utf8(&body).unwrap()).len(), 301);
    if framework == Framework::Rocket {
        assert!(cuts <= body.len() / 4096, "{cuts} cuts in {} bytes", body.len());
    } else {
        assert_eq!(cuts, 0);
    }
    // Events that are due together go out together.
    assert!(chunks < 150, "{chunks} chunks for 301 events");
}

pub(crate) async fn silence_is_kept_alive_and_traffic_is_not(framework: Framework) {
    let options = StreamOptions::new().keep_alive(Duration::from_millis(500));
    let hub = Hub::builder().stream_options(options.clone()).build();
    let server = framework.serve(App { options, ..app(hub) }).await;
    for path in ["/own/silent", "/events"] {
        let mut answer = http::get(server.addr, path).await;
        answer.until(|text| text.contains("retry: ")).await;
        for _ in 0..3 {
            assert_eq!(answer.until(|text| text.ends_with('\n')).await, ":\n", "{path}");
        }
    }
    let mut busy = http::get(server.addr, "/own/busy").await;
    while let Some(chunk) = busy.chunk().await {
        assert_ne!(chunk, b":\n");
    }
}

pub(crate) async fn http_2_carries_the_same_bytes(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}/own/plain", server.addr)).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
    for (name, value) in STREAM_HEADERS {
        assert_eq!(answer.headers()[name], value);
    }
    let plain = http::get(server.addr, "/own/plain").await.rest().await;
    assert_eq!(without_jitter(&answer.text().await.unwrap()), without_jitter(&plain));
}

pub(crate) async fn head_requests_open_nothing(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let answer = http::send(server.addr, "HEAD", "/events", &[], b"").await;
    assert_eq!(answer.status, 200);
    for (name, value) in STREAM_HEADERS {
        assert_eq!(answer.header(name), Some(value));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.hub.stats().subscribers, 0);
    assert_eq!(server.hub.lifecycle().streams(), 0);
}

pub(crate) async fn bad_topics_are_refused_in_one_sentence(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let long = format!("/events?topic={}", "x".repeat(257));
    let many = format!("/events?{}", "topic=a&".repeat(33));
    for path in
        ["/events?topic=", "/events?topic=a%0Ab", "/events?topic=%ff", "/events?topic=%zz", &long, &many]
    {
        let mut answer = http::get(server.addr, path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body = answer.rest().await;
        assert!(body.ends_with('.') && !body.contains('\n'), "{body:?}");
    }
    assert_eq!(server.hub.stats().topics, 0);
}

/// A client of HTTP/1.0 knows no chunks: it gets the bytes as they are, and the end of the connection as the end.
pub(crate) async fn http_1_0_gets_no_chunks(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let mut socket = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    let request = format!("GET /own/plain HTTP/1.0\r\nHost: {}\r\n\r\n", server.addr);
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 ") && !head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    let plain = http::get(server.addr, "/own/plain").await.rest().await;
    assert_eq!(without_jitter(body), without_jitter(&plain));
}
