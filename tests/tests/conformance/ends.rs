//! How streams end.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use async_stream::stream;
use sse_core::{Event, Hub, Lifecycle, Request, StreamOptions};
use sse_tests::{
    clients::{self, Client},
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
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(60)).build();
    let server = framework.serve(app(Hub::builder().lifecycle(&lifecycle).build())).await;
    // A stream that nobody polls keeps the server up while it stops, as that of a client that does not read.
    let _stalled =
        server.hub.open(&Request::new(&::http::Request::new(()), server.hub.lifecycle()), "news").unwrap();
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
    let hub = Hub::builder().stream_options(options.clone()).build();
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
    let start = Instant::now();
    while (server.hub.lifecycle().streams(), server.hub.stats().subscribers) != (0, 0) {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", server.hub.stats());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.hub.stats().topics, 0);
}

pub(crate) async fn an_old_stream_ends_and_says_when_to_return(framework: Framework) {
    let options = StreamOptions::new().max_age(Duration::from_secs(1));
    let hub = Hub::builder().stream_options(options.clone()).build();
    let server = framework.serve(App { options, ..app(hub) }).await;
    for path in ["/own/silent", "/own/endless", "/events"] {
        let mut answer = http::get(server.addr, path).await;
        let text = without_jitter(&answer.rest().await);
        assert!(text.ends_with("\nretry: N\n") && text.matches("retry: N").count() == 2, "{path}");
    }
    assert_eq!(server.hub.lifecycle().streams(), 0);
}

pub(crate) async fn a_204_says_nothing_but_stop(framework: Framework) {
    let server = framework.serve(app(Hub::new())).await;
    let mut answer = http::resume(server.addr, "/once", b"1").await;
    assert_eq!((answer.status, answer.header("cache-control")), (204, Some("no-store")));
    assert_eq!((answer.header("content-type"), answer.header("transfer-encoding")), (None, None));
    assert!(answer.is_silent_for(Duration::from_millis(100)).await);
}

pub(crate) async fn a_204_stops_chromium(framework: Framework) {
    a_204_stops(framework, Client::Chromium).await;
}

pub(crate) async fn a_204_stops_firefox(framework: Framework) {
    a_204_stops(framework, Client::Firefox).await;
}

/// The browser comes back after the end, is told to stop, and does.
async fn a_204_stops(framework: Framework, client: Client) {
    let Some(browser) = clients::browser(client).await else {
        return;
    };
    let app = App { options: StreamOptions::new().retry(Duration::from_millis(100)), ..app(Hub::new()) };
    let asked = app.asked.clone();
    let server = framework.serve(app).await;
    browser.client().goto(&format!("http://{}/blank", server.addr)).await.unwrap();
    browser
        .run(
            "const seen = window.seen = [];
             const events = window.events = new EventSource('/once');
             events.onmessage = event => seen.push(event.data);",
        )
        .await;
    browser.wait_for("window.events.readyState === EventSource.CLOSED").await;
    // Firefox would be back after 500 ms.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(browser.run("return window.seen").await, serde_json::json!(["all"]));
    browser.close().await;
}
