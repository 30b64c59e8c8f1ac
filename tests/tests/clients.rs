//! Clients that nobody here wrote, each against each adapter: all must report the same list of events, from a
//! connection that is cut again and again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use sse_core::{Event, Hub, StreamOptions};
use sse_tests::{
    clients::{self, Client, Received},
    proxy::Proxy,
    servers::{App, Framework},
};

const EVENTS: usize = 1_000;
const NAMES: [&str; 5] = ["update", "späti", "a b", "x:y", " padded "];
const END: &str = "end";

/// Text with everything that could confuse a parser: line breaks of each kind, leading spaces, colons, field
/// names, all of Unicode. NUL is left out: Firefox drops it.
fn text(random: &mut SmallRng) -> String {
    let len = match random.random_range(0..100) {
        0..5 => return String::new(),
        5..7 => return "w".repeat(64 * 1024),
        7..20 => 1,
        _ => random.random_range(2..120),
    };
    (0..len)
        .map(|_| match random.random_range(0..20) {
            0 => "\n".to_owned(),
            1 => "\r".to_owned(),
            2 => "\r\n".to_owned(),
            3 => " ".to_owned(),
            4 => ":".to_owned(),
            5 => "data: id: event: retry: ".to_owned(),
            6 => random.random_range('\u{1}'..'\u{20}').to_string(),
            7..13 => random.random::<char>().to_string(),
            _ => random.random_range('a'..='z').to_string(),
        })
        .collect::<String>()
        .replace('\0', "")
}

/// As a client joins the lines.
fn joined(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

async fn agrees(framework: Framework, client: Client) {
    if !clients::available().contains(&client) {
        return;
    }
    let mut random = SmallRng::seed_from_u64(7 + client as u64);
    // Keep-alives fall between the events.
    let options =
        StreamOptions::new().keep_alive(Duration::from_millis(10)).retry(Duration::from_millis(100));
    let hub = Hub::builder().stream_options(options).build();
    let start = hub.position();
    let server = framework.serve(App::new(hub)).await;
    let cuts: Vec<usize> = (0..12).map(|_| random.random_range(2_000..150_000)).collect();
    let proxy = if client == Client::FetchEventSource {
        Proxy::start_sparing_ends(server.addr, cuts.into_iter()).await.unwrap()
    } else {
        Proxy::start(server.addr, cuts.into_iter()).await.unwrap()
    };

    let hub = server.hub.clone();
    let publisher = tokio::spawn(async move {
        let mut expected = Vec::new();
        for n in 0..EVENTS {
            let data = text(&mut random);
            let name = NAMES.get(random.random_range(0..2 * NAMES.len()));
            let mut event = Event::new(data.as_str());
            if let Some(name) = name {
                event = event.name(*name).unwrap();
            }
            if random.random_range(0..10) == 0 {
                event = event.comment("a comment\n\ndata: that is none");
            }
            let id = hub.publish("news", event).await.unwrap();
            let kind = name.map_or("message", |name| *name).to_owned();
            expected.push(Received { kind, data: joined(&data), id: id.to_string() });
            if n % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
        let id = hub.publish("news", Event::new("").name(END).unwrap()).await.unwrap();
        expected.push(Received { kind: END.into(), data: String::new(), id: id.to_string() });
        expected
    });

    let url = format!("http://{}/events?last_event_id={start}", proxy.addr());
    let types = [&NAMES[..], &["sse-position", "sse-gap", END]].concat();
    let received = clients::collect(client, &url, &types, END, Duration::from_secs(120)).await;
    let received = received.unwrap_or_else(|error| panic!("{client} on {framework}: {error}"));
    let mut expected = publisher.await.unwrap();

    if client == Client::FetchEventSource {
        // It forgets empty lines at the start of the data.
        for event in &mut expected {
            event.data = event.data.trim_start_matches('\n').to_owned();
        }
    }
    let (positions, received): (Vec<_>, Vec<_>) =
        received.into_iter().partition(|event| event.kind == "sse-position");
    assert!(positions.iter().all(|event| event.data == "{}"));
    for (index, (received, expected)) in received.iter().zip(&expected).enumerate() {
        assert_eq!(received, expected, "{client} on {framework}, event {index}");
    }
    assert_eq!(received.len(), expected.len());
    assert!(proxy.cuts() >= 3, "{} cuts", proxy.cuts());
}

macro_rules! matrix {
    ($($name:ident: $client:ident;)*) => {
        matrix!(@framework actix Actix $($name $client)*);
        matrix!(@framework rocket Rocket $($name $client)*);
        matrix!(@framework warp Warp $($name $client)*);
    };
    (@framework $module:ident $framework:ident $($name:ident $client:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                use sse_tests::{clients::Client, servers::Framework};
                crate::agrees(Framework::$framework, Client::$client).await;
            })*
        }
    };
}

matrix! {
    chromium: Chromium;
    firefox: Firefox;
    npm_eventsource: EventSource;
    npm_undici: Undici;
    npm_eventsource_parser: EventSourceParser;
    npm_fetch_event_source: FetchEventSource;
    pypi_httpx_sse: HttpxSse;
    crate_eventsource_stream: EventsourceStream;
}
