//! Applications that fail or act in the middle of a stream, and clients that break off: what they held is free, and the
//! others notice nothing.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use async_stream::stream;
use futures_util::future::join_all;
use sse_core::{Event, Hub, Lifecycle, Limits, StreamOptions};
use sse_tests::{
    http,
    servers::{App, Framework, OwnStream, Server},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Those whose streams stop them, by name.
static STOPPING: Mutex<Option<HashMap<String, Lifecycle>>> = Mutex::new(None);

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose: it is dropped");
        }
    }
}

fn own(name: &str) -> OwnStream {
    let lifecycle = STOPPING.lock().unwrap().as_ref().and_then(|all| all.get(name).cloned());
    match name {
        "panics-first" => Box::pin(futures_util::stream::poll_fn(|_| panic!("on purpose: at once"))),
        "panics-later" => Box::pin(stream! {
            yield Ok(Event::new("one"));
            sleep(Duration::from_millis(50)).await;
            panic!("on purpose: later");
        }),
        "panics-dropped" => Box::pin(stream! {
            let _last = PanicsWhenDropped;
            yield Ok(Event::new("one"));
        }),
        _ => Box::pin(stream! {
            yield Ok(Event::new("one"));
            lifecycle.expect("one that is known").stop();
            yield Ok(Event::new("two"));
        }),
    }
}

async fn is_free(limits: &Limits, server: &Server, left: usize) {
    let start = Instant::now();
    while (limits.streams(), server.hub.lifecycle().streams()) != (left, left) {
        let open = server.hub.lifecycle().streams();
        assert!(start.elapsed() < PATIENCE, "{} places are taken, {open} are open", limits.streams());
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn own_streams_that_panic_leave_nothing(framework: Framework) {
    let limits = Limits::builder().max_streams(100).max_streams_per_address(100).build();
    let lifecycle = Lifecycle::builder().limits(&limits).build();
    // Rocket learns by writing that a client has gone.
    let options = StreamOptions::new().keep_alive(Duration::from_millis(100));
    let hub = Hub::builder().lifecycle(&lifecycle).stream_options(options).build();
    let server = framework.serve(App { own, ..App::new(hub) }).await;
    let mut other = http::get(server.addr, "/events").await;
    other.until(|text| text.contains("\n\n")).await;
    for http_2 in [false, true] {
        let client = reqwest::Client::builder();
        let client = if http_2 { client.http2_prior_knowledge() } else { client };
        let client = client.timeout(PATIENCE).build().unwrap();
        for name in ["panics-first", "panics-later", "panics-dropped"] {
            join_all((0..10).map(async |_| {
                let url = format!("http://{}/own/{name}", server.addr);
                // However it ends.
                if let Ok(answer) = client.get(url).send().await {
                    answer.bytes().await.ok();
                }
            }))
            .await;
            is_free(&limits, &server, 1).await;
        }
    }
    server.hub.publish("news", "on").await.unwrap();
    other.until(|text| text.contains("data: on\n")).await;
    server.stop().await;
}

pub(crate) async fn a_stream_may_stop_its_own_server(framework: Framework) {
    for window in [Duration::ZERO, Duration::from_secs(1)] {
        let lifecycle = Lifecycle::builder().window(window).build();
        let server =
            framework.serve(App { own, ..App::new(Hub::builder().lifecycle(&lifecycle).build()) }).await;
        let name = format!("{framework}-{}", window.as_secs());
        STOPPING.lock().unwrap().get_or_insert_default().insert(name.clone(), lifecycle.clone());
        let mut other = http::get(server.addr, "/events").await;
        other.until(|text| text.contains("\n\n")).await;
        let mut stream = http::get(server.addr, &format!("/own/{name}")).await;
        let (said, rest, ()) = tokio::join!(stream.rest(), other.rest(), lifecycle.stopped());
        assert!(said.contains("data: one\n\n") && said.ends_with('\n'), "{said:?}");
        // With time for it, all is said.
        assert!(window.is_zero() || said.contains("data: two\n\n"), "{said:?}");
        assert!(rest.contains("retry: "), "{rest:?}");
        server.stop().await;
    }
}

/// Four times as many as there are places come at once; how many have one.
async fn crowd(server: &Server, limits: &Limits, places: usize) -> usize {
    let answers = join_all((0..4 * places).map(async |_| {
        let mut answer = http::get(server.addr, "/events").await;
        if answer.status == 200 {
            answer.until(|text| text.contains("\n\n")).await;
        }
        answer
    }));
    let answers = answers.await;
    let open = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    assert_eq!(open + refused, 4 * places);
    assert!((open..=places).contains(&limits.streams()), "{open} of {}", limits.streams());
    open
}

/// All of them come in the same moment, and some leave with a reset.
pub(crate) async fn a_crowd_that_comes_at_once_has_the_places_and_no_more(framework: Framework) {
    const PLACES: usize = 50;
    let limits = Limits::builder().max_streams(PLACES).build();
    let lifecycle = Lifecycle::builder().limits(&limits).build();
    let options = StreamOptions::new().keep_alive(Duration::from_millis(100));
    let hub = Hub::builder().lifecycle(&lifecycle).stream_options(options).build();
    let server = framework.serve(App::new(hub)).await;
    assert_eq!(crowd(&server, &limits, PLACES).await, PLACES);
    is_free(&limits, &server, 0).await;
    for _ in 0..3 {
        // One asks and is gone before there is an answer.
        for _ in 0..PLACES {
            let mut client = TcpStream::connect(server.addr).await.unwrap();
            client.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        }
        // Some of them may come to the server only now.
        let start = Instant::now();
        while crowd(&server, &limits, PLACES).await < PLACES {
            assert!(start.elapsed() < PATIENCE, "places stay taken");
            is_free(&limits, &server, 0).await;
        }
        is_free(&limits, &server, 0).await;
    }
    server.stop().await;
}
