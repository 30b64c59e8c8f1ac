//! How streams end.

use std::time::Duration;

use async_stream::stream;
use sse_core::{Event, Hub, StreamOptions};
use sse_tests::{
    http::{self, without_jitter},
    servers::{App, Framework, OwnStream},
};

fn own(name: &str) -> OwnStream {
    match name {
        "three" => Box::pin(stream! {
            for n in 0..3 {
                yield Ok(Event::new(n.to_string()));
            }
        }),
        "failing" => Box::pin(stream! {
            yield Ok(Event::new("one"));
            yield Err("secret reason".to_owned());
            yield Ok(Event::new("never"));
        }),
        "endless" => Box::pin(futures_util::stream::repeat_with(|| Ok(Event::new("again")))),
        "silent" => Box::pin(futures_util::stream::pending()),
        other => panic!("no stream {other}"),
    }
}

fn app(hub: Hub) -> App {
    App { own, ..App::new(hub) }
}

pub(crate) async fn an_own_stream_ends_with_its_source(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let body = http::get(server.addr, "/own/three").await.rest().await;
    assert_eq!(without_jitter(&body), ":\nretry: N\ndata: 0\n\ndata: 1\n\ndata: 2\n\n");
}

pub(crate) async fn a_failing_own_stream_ends_cleanly(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let body = http::get(server.addr, "/own/failing").await.rest().await;
    assert_eq!(without_jitter(&body), ":\nretry: N\ndata: one\n\n");
}

pub(crate) async fn stopping_ends_every_stream_cleanly(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let mut hub = http::get(server.addr, "/events").await;
    hub.until(|text| text.contains("\n\n")).await;
    let mut silent = http::get(server.addr, "/own/silent").await;
    silent.until(|text| text.contains("retry")).await;
    let mut endless = http::get(server.addr, "/own/endless").await;
    endless.until(|text| text.contains("again")).await;
    let owed = server.hub.publish("news", "owed").await.unwrap();
    let (hub, silent, endless, ()) = tokio::join!(hub.rest(), silent.rest(), endless.rest(), server.stop());
    assert_eq!(without_jitter(&hub), format!("data: owed\nid: {owed}\n\nretry: N\n"));
    assert_eq!(without_jitter(&silent), "retry: N\n");
    assert!(without_jitter(&endless).ends_with("data: again\n\nretry: N\n"));
}

pub(crate) async fn while_stopping_clients_are_told_to_come_back(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    // A client that does not read keeps the server up while it stops.
    let _stalled = http::get(server.addr, "/own/endless").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.hub.lifecycle().stop();
    assert_eq!(server.hub.lifecycle().streams(), 1);

    let browser: [(&str, &[u8]); 2] = [("Accept", b"text/event-stream"), ("Sec-Fetch-Mode", b"cors")];
    let mut answer = http::send(server.addr, "GET", "/events", &browser, b"").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("content-encoding"), Some("identity"));
    assert_eq!(without_jitter(&answer.rest().await), "retry: N\n:\n");

    let mut answer = http::get(server.addr, "/events").await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    assert!(answer.rest().await.ends_with('.'));
}

pub(crate) async fn a_client_that_leaves_frees_its_place(framework: Framework) {
    let options = StreamOptions::new().keep_alive(Duration::from_millis(100));
    let hub = Hub::builder().stream_options(options).build();
    let server = framework.serve(App { options, ..app(hub) }).await;
    let mut clients = Vec::new();
    for path in ["/events", "/own/silent", "/events?topic=other"] {
        let mut answer = http::get(server.addr, path).await;
        answer.until(|text| text.contains("retry")).await;
        clients.push(answer);
    }
    assert_eq!(server.hub.lifecycle().streams(), 3);
    assert_eq!(server.hub.stats().subscribers, 2);
    drop(clients);
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if server.hub.lifecycle().streams() == 0 {
            break;
        }
    }
    assert_eq!(server.hub.lifecycle().streams(), 0);
    assert_eq!(server.hub.stats().subscribers, 0);
    assert_eq!(server.hub.stats().topics, 0);
}

pub(crate) async fn an_old_stream_ends_and_says_when_to_return(framework: Framework) {
    let options = StreamOptions::new().max_age(Duration::from_secs(1));
    let hub = Hub::builder().stream_options(options).build();
    let server = framework.serve(App { options, ..app(hub) }).await;
    for path in ["/own/silent", "/own/endless", "/events"] {
        let mut answer = http::get(server.addr, path).await;
        let text = without_jitter(&answer.rest().await);
        assert!(text.ends_with("\nretry: N\n") && text.matches("retry: N").count() == 2, "{path}");
    }
    assert_eq!(server.hub.lifecycle().streams(), 0);
}
