//! How many streams there may be, of whom, and how often they may be asked for: each limit up to it and over it, over
//! HTTP/1.1 and 2; whom the server believes where a client is; and what somebody gets who asks again and again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use hyper_util::client::legacy::connect::HttpInfo;
use sse_core::{Hub, Lifecycle, Limits, LimitsBuilder, OnLag, StreamOptions, TrustedProxies};
use sse_tests::{
    clients::{self, Client},
    http::{self, Answer},
    servers::{App, Framework, Server},
    tokens::Token,
};
use tokio::{net::TcpSocket, time::sleep};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a browser's `EventSource` sends.
const BROWSER: [(&str, &str); 2] = [("Accept", "text/event-stream"), ("Sec-Fetch-Mode", "cors")];

struct Served {
    server: Server,
    limits: Limits,
}

impl Served {
    async fn start(framework: Framework, limits: LimitsBuilder) -> Self {
        Self::with(framework, limits, HashMap::new()).await
    }

    async fn with(
        framework: Framework,
        limits: LimitsBuilder,
        endpoints: HashMap<&'static str, StreamOptions>,
    ) -> Self {
        Self::kept_alive(framework, limits, endpoints, Duration::from_millis(100)).await
    }

    /// Rocket learns by writing that a client has gone.
    async fn kept_alive(
        framework: Framework,
        limits: LimitsBuilder,
        endpoints: HashMap<&'static str, StreamOptions>,
        after: Duration,
    ) -> Self {
        let limits = limits.build();
        let options = StreamOptions::new().keep_alive(after);
        let hub =
            Hub::builder().lifecycle(&Lifecycle::builder().limits(&limits).build()).stream_options(options);
        let server = framework.serve(App { endpoints, ..App::new(hub.build()) }).await;
        Self { server, limits }
    }

    async fn send(&self, from: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let socket = socket.connect(self.server.addr).await.unwrap();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        http::send_over(socket, method, path, &headers, b"").await
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("127.0.0.1", "GET", path, headers).await
    }

    /// So many streams are open, all of them with a place.
    async fn holds(&self, streams: usize) {
        let start = Instant::now();
        while (self.limits.streams(), self.server.hub.lifecycle().streams()) != (streams, streams) {
            let open = self.server.hub.lifecycle().streams();
            let counted = self.limits.streams();
            assert!(start.elapsed() < PATIENCE, "{counted} are counted, {open} open, not {streams}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Opens as many as there may be, and one more; and one again in the place of one that has gone.
    async fn at_most(&self, most: usize, status: u16, open: impl AsyncFn(&[(&str, &str)]) -> Answer) {
        let before = self.limits.streams();
        let mut streams = Vec::new();
        for _ in 0..most {
            streams.push(opened(open(&[]).await).await);
        }
        turned_away(open(&[]).await, status).await;
        sent_back(open(&BROWSER).await).await;
        self.holds(before + most).await;
        drop(streams.pop());
        self.holds(before + most - 1).await;
        streams.push(opened(open(&[]).await).await);
        turned_away(open(&[]).await, status).await;
        // Nobody was sent away for another.
        for stream in &mut streams {
            assert!(stream.until(|text| text.contains(":\n")).await.contains(":\n"));
        }
        drop(streams);
        self.holds(before).await;
    }
}

async fn opened(mut answer: Answer) -> Answer {
    assert_eq!(answer.status, 200);
    answer.until(|text| text.contains("\n\n")).await;
    answer
}

async fn turned_away(mut answer: Answer, status: u16) -> u64 {
    assert_eq!((answer.status, answer.header("cache-control")), (status, Some("no-store")));
    let after = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=90).contains(&after), "{after}");
    let body = answer.rest().await;
    assert!(body.ends_with("please come back.") && !body.contains('\n'), "{body:?}");
    after
}

/// Told to come back in the form that a browser obeys, and the time is long enough to be worth it.
async fn sent_back(mut answer: Answer) {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let body = answer.rest().await;
    let retry = body.strip_prefix("retry: ").and_then(|body| body.strip_suffix("\n:\n"));
    let retry: u32 = retry.unwrap_or_else(|| panic!("{body:?}")).parse().unwrap();
    assert!(retry >= 1_000, "{retry}");
}

pub(crate) async fn streams_in_all(framework: Framework) {
    let served = Served::start(framework, Limits::builder().max_streams(3)).await;
    served.at_most(3, 503, async |headers| served.get("/events", headers).await).await;
    // Those that the application feeds, and those of who is signed in, are among them.
    let _one = opened(served.get("/events", &[]).await).await;
    let bearer = Token::new("ada", &["news"]).bearer();
    let _two = opened(served.get("/private", &[("Authorization", &bearer)]).await).await;
    let _three = opened(served.get("/for/ada", &[]).await).await;
    for path in ["/events", "/own/any", "/for/bob"] {
        turned_away(served.get(path, &[]).await, 503).await;
    }
    turned_away(served.get("/private", &[("Authorization", &bearer)]).await, 503).await;
    // A HEAD takes no place and needs none.
    assert_eq!(served.send("127.0.0.1", "HEAD", "/events", &[]).await.status, 200);
    served.holds(3).await;
}

pub(crate) async fn streams_of_a_subject(framework: Framework) {
    let served = Served::start(framework, Limits::builder().max_streams_per_subject(2)).await;
    let open = async |subject: &str, headers: &[(&str, &str)]| {
        let bearer = Token::new(subject, &["news"]).bearer();
        served.get("/private", &[&[("Authorization", &*bearer)], headers].concat()).await
    };
    let _bob = opened(open("bob", &[]).await).await;
    served.at_most(2, 429, async |headers| open("ada", headers).await).await;
    let _guests = [
        opened(served.get("/events", &[]).await).await,
        opened(served.get("/events", &[]).await).await,
        opened(served.get("/events", &[]).await).await,
    ];
    served.holds(4).await;
}

pub(crate) async fn streams_of_an_address(framework: Framework) {
    let served = Served::start(framework, Limits::builder().max_streams_per_address(2)).await;
    let open =
        async |from: &str, headers: &[(&str, &str)]| served.send(from, "GET", "/events", headers).await;
    let _others = [opened(open("127.0.0.3", &[]).await).await, opened(open("127.0.0.3", &[]).await).await];
    served.at_most(2, 429, async |headers| open("127.0.0.2", headers).await).await;
    // Nobody asked it to believe anybody.
    let forged =
        [("X-Forwarded-For", "127.0.0.9"), ("Forwarded", "for=127.0.0.9"), ("X-Real-IP", "127.0.0.9")];
    turned_away(open("127.0.0.3", &forged).await, 429).await;
}

pub(crate) async fn streams_of_a_topic(framework: Framework) {
    let served = Served::start(framework, Limits::builder().max_streams_per_topic(2)).await;
    let _other = opened(served.get("/events?topic=other", &[]).await).await;
    served.at_most(2, 503, async |headers| served.get("/events?topic=a&topic=b", headers).await).await;
    let _one = opened(served.get("/events?topic=a", &[]).await).await;
    let _two = opened(served.get("/events?topic=a&topic=c", &[]).await).await;
    turned_away(served.get("/events?topic=a", &[]).await, 503).await;
    turned_away(served.get("/events?topic=d&topic=a", &[]).await, 503).await;
    opened(served.get("/events?topic=c&topic=d", &[]).await).await;
}

pub(crate) async fn topics_of_a_request(framework: Framework) {
    let served = Served::start(framework, Limits::builder().max_topics_per_request(2)).await;
    opened(served.get("/events?topic=a&topic=b&topic=a", &[]).await).await;
    for headers in [&[][..], &BROWSER] {
        let mut answer = served.get("/events?topic=a&topic=b&topic=c", headers).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.rest().await, "A request may name at most 2 topics here.");
    }
    assert_eq!(served.send("127.0.0.1", "HEAD", "/events?topic=a&topic=b&topic=c", &[]).await.status, 400);
}

pub(crate) async fn an_endpoint_has_limits_of_its_own(framework: Framework) {
    let few = Limits::builder().max_streams(1).build();
    let options = StreamOptions::new().keep_alive(Duration::from_millis(100)).limits(&few);
    let endpoints = HashMap::from([("few", options)]);
    let served = Served::with(framework, Limits::builder().max_streams(2), endpoints).await;
    served.at_most(1, 503, async |headers| served.get("/with/few", headers).await).await;
    let _few = opened(served.get("/with/few", &[]).await).await;
    let _more = opened(served.get("/events", &[]).await).await;
    turned_away(served.get("/events", &[]).await, 503).await;
    assert_eq!((few.streams(), served.limits.streams()), (1, 2));
}

/// Browsers are answered as everybody else where the limits say so, each for itself.
pub(crate) async fn browsers_get_the_status_where_it_is_said(framework: Framework) {
    let few = Limits::builder().max_streams(0).build();
    let strict = Limits::builder().max_streams(0).status_for_browsers(true).build();
    let back = Limits::builder().max_streams(0).status_for_browsers(true).status_for_browsers(false).build();
    let options = |limits| StreamOptions::new().keep_alive(Duration::from_millis(100)).limits(limits);
    let endpoints =
        HashMap::from([("few", options(&few)), ("strict", options(&strict)), ("back", options(&back))]);
    let limits = Limits::builder()
        .max_streams(2)
        .max_streams_per_address(1)
        .max_connects_per_minute_by_subject(1)
        .status_for_browsers(true);
    let served = Served::with(framework, limits, endpoints).await;
    for path in ["/with/few", "/with/back"] {
        sent_back(served.get(path, &BROWSER).await).await;
    }
    turned_away(served.get("/with/strict", &BROWSER).await, 503).await;
    let one = opened(served.get("/events", &BROWSER).await).await;
    turned_away(served.get("/events", &BROWSER).await, 429).await;
    // The server's are asked first.
    turned_away(served.get("/with/few", &BROWSER).await, 429).await;
    let _two = opened(served.send("127.0.0.2", "GET", "/events", &BROWSER).await).await;
    turned_away(served.send("127.0.0.3", "GET", "/events", &BROWSER).await, 503).await;
    drop(one);
    served.holds(1).await;
    let bearer = Token::new("ada", &["news"]).bearer();
    let headers = [&[("Authorization", &*bearer)], &BROWSER[..]].concat();
    drop(opened(served.get("/private", &headers).await).await);
    served.holds(1).await;
    turned_away(served.get("/private", &headers).await, 429).await;
}

/// To a browser's own `EventSource` a status is the end.
pub(crate) async fn chromium_stops_at_a_status(framework: Framework) {
    let Some(browser) = clients::browser(Client::Chromium).await else {
        return;
    };
    let limits = Limits::builder().max_streams(0).status_for_browsers(true);
    let served = Served::start(framework, limits).await;
    browser.client().goto(&format!("http://{}/blank", served.server.addr)).await.unwrap();
    browser.run("window.events = new EventSource('/events')").await;
    browser.wait_for("events.readyState === EventSource.CLOSED").await;
    browser.close().await;
}

/// Asks `often` times at once: as many are let in as may come in a minute, and as time has gone by for since then.
async fn comes_often(a_minute: u64, often: usize, ask: impl AsyncFn(&[(&str, &str)]) -> Answer) {
    let start = Instant::now();
    let mut let_in = 0;
    for _ in 0..often {
        let answer = ask(&[]).await;
        if answer.status == 200 {
            // Gone again at once: it is how often, not how many.
            opened(answer).await;
            let_in += 1;
        } else {
            assert!(let_in >= a_minute, "{let_in} were let in");
            turned_away(answer, 429).await;
        }
    }
    let most = a_minute + start.elapsed().as_secs() * a_minute / 60 + 1;
    assert!(let_in < most, "{let_in} were let in, of {most}");
    if start.elapsed() < Duration::from_secs(30) / a_minute as u32 {
        sent_back(ask(&BROWSER).await).await;
    }
}

pub(crate) async fn connects_a_minute(framework: Framework) {
    let limits =
        Limits::builder().max_connects_per_minute_by_address(3).max_connects_per_minute_by_subject(2);
    let served = Served::start(framework, limits).await;
    for from in ["127.0.0.2", "127.0.0.3"] {
        comes_often(3, 6, async |headers| served.send(from, "GET", "/events", headers).await).await;
    }
    // Each time from elsewhere.
    let addresses = AtomicU8::new(10);
    for subject in ["ada", "bob"] {
        let bearer = Token::new(subject, &["news"]).bearer();
        comes_often(2, 5, async |headers| {
            let from = format!("127.0.0.{}", addresses.fetch_add(1, Ordering::SeqCst));
            let headers = [&[("Authorization", &*bearer)], headers].concat();
            served.send(&from, "GET", "/private", &headers).await
        })
        .await;
    }
    served.holds(0).await;
}

pub(crate) async fn a_trusted_proxy_says_where_a_client_is(framework: Framework) {
    let proxies = TrustedProxies::networks(["127.0.0.1", "10.0.0.0/8", "fd00::/8"]).unwrap();
    let limits = Limits::builder().max_streams_per_address(1).trusted_proxies(proxies);
    let served = Served::start(framework, limits).await;
    let open = async |from: &str, said: &[&str]| {
        let headers: Vec<_> = said.iter().map(|value| ("X-Forwarded-For", *value)).collect();
        served.send(from, "GET", "/events", &headers).await
    };
    let mut streams = Vec::new();
    for (from, said) in [
        ("127.0.0.1", &["192.0.2.1"][..]),
        ("127.0.0.1", &["192.0.2.2, 10.0.0.7"]),
        ("127.0.0.1", &["192.0.2.3", "fd00::7, 10.0.0.7"]),
        ("127.0.0.1", &["2001:db8:0:1::1"]),
        ("127.0.0.1", &["2001:db8:0:2::1"]),
        // Who is not trusted counts as itself, and so does a proxy that says nothing.
        ("127.0.0.2", &["192.0.2.9"]),
        ("127.0.0.1", &[]),
    ] {
        streams.push(opened(open(from, said).await).await);
    }
    for (from, said) in [
        ("127.0.0.1", &["192.0.2.1"][..]),
        // What the client has written itself stands in front, and is not read.
        ("127.0.0.1", &["192.0.2.77, 192.0.2.1"]),
        ("127.0.0.1", &["192.0.2.77", "192.0.2.1"]),
        ("127.0.0.1", &["192.0.2.77, 192.0.2.2, 10.0.0.8"]),
        ("127.0.0.1", &["::ffff:192.0.2.3"]),
        // The rest of the same network.
        ("127.0.0.1", &["2001:db8:0:1:ffff::2"]),
        ("127.0.0.1", &["2001:db8:0:2:1:2:3:4"]),
        ("127.0.0.2", &["192.0.2.10"]),
        ("127.0.0.2", &["10.0.0.1, 127.0.0.1"]),
        ("127.0.0.1", &["nonsense"]),
    ] {
        turned_away(open(from, said).await, 429).await;
    }
    served.holds(streams.len()).await;
}

pub(crate) async fn over_http_2_streams_are_counted(framework: Framework) {
    // One less than what servers allow on one connection.
    const MOST: usize = 199;
    let limits = Limits::builder().max_streams_per_address(MOST);
    // Of small frames that are not read this client takes no more than some ten thousand on one connection.
    let served = Served::kept_alive(framework, limits, HashMap::new(), Duration::from_secs(2)).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let ask = || client.get(format!("http://{}/events", served.server.addr)).send();
    let mut streams = Vec::new();
    let mut connections = BTreeSet::new();
    for _ in 0..MOST {
        let mut answer = ask().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
        answer.chunk().await.unwrap().unwrap();
        connections.insert(answer.extensions().get::<HttpInfo>().unwrap().local_addr());
        streams.push(answer);
    }
    assert_eq!(connections.len(), 1, "all of it is one connection");
    let over = ask().await.unwrap();
    assert_eq!(over.status(), 429);
    assert_eq!(over.extensions().get::<HttpInfo>().unwrap().local_addr(), *connections.first().unwrap());
    drop(over);
    served.holds(MOST).await;
    // One stream gone is one place, while the connection stays.
    drop(streams.pop());
    served.holds(MOST - 1).await;
    streams.push(ask().await.unwrap());
    assert_eq!(streams.last().unwrap().status(), 200);
    assert_eq!(ask().await.unwrap().status(), 429);
    drop(streams);
    served.holds(0).await;
}

/// The cap on replay, over by one and under by one, in events and in bytes.
pub(crate) async fn events_and_bytes_of_the_past(framework: Framework) {
    let options = |events, bytes| StreamOptions::new().max_replay_events(events).max_replay_bytes(bytes);
    let hub = Hub::new();
    let start = hub.position().to_string();
    let mut size = 0;
    for n in 0..4 {
        let id = hub.publish("news", n.to_string()).await.unwrap();
        size += format!("data: {n}\nid: {id}\n\n").len();
    }
    let endpoints = HashMap::from([
        ("under", options(4, size)),
        ("events", options(3, size)),
        ("bytes", options(4, size - 1)),
    ]);
    let server = framework.serve(App { endpoints, ..App::new(hub) }).await;
    for name in ["events", "bytes"] {
        let mut answer = http::resume(server.addr, &format!("/with/{name}"), start.as_bytes()).await;
        let seen = http::events(&answer.rest().await);
        assert_eq!(seen.iter().map(|seen| &*seen.data).collect::<Vec<_>>(), ["0", "1", "2"], "{name}");
    }
    let mut answer = http::resume(server.addr, "/with/under", start.as_bytes()).await;
    answer.until(|text| http::events(text).len() == 4).await;
    assert!(answer.goes_on_for(Duration::from_millis(100)).await, "it goes on");
}

/// One client comes a thousand times with the oldest id there is. What it gets is bounded each time and in all, and
/// another sees each event as if it were alone.
pub(crate) async fn who_comes_with_the_oldest_id_again_and_again(framework: Framework) {
    const A_MINUTE: u32 = 30;
    const CAP: usize = 1 << 20;
    let limits = Limits::builder().max_connects_per_minute_by_address(A_MINUTE);
    let served = Served::start(framework, limits).await;
    let hub = served.server.hub.clone();
    let oldest = hub.position().to_string();
    let payload = "x".repeat(3_000);
    for _ in 0..4_000 {
        hub.publish("news", payload.as_str()).await.unwrap();
    }
    assert!(hub.stats().bytes > 12_000_000);
    let mut other = served.send("127.0.0.2", "GET", "/events", &[]).await;
    other.until(|text| text.contains("\n\n")).await;
    let reader = tokio::spawn(async move {
        let text = other.until(|text| text.ends_with("\n\n") && text.contains("data: last\n")).await;
        let events = http::events(&text);
        events.iter().filter(|seen| seen.kind == "message").map(|seen| seen.data.clone()).collect::<Vec<_>>()
    });
    let start = Instant::now();
    let (mut let_in, mut bytes) = (0, 0);
    let mut expected = Vec::new();
    for n in 0..1_000 {
        let mut answer = served.get("/events", &[("Last-Event-ID", &oldest)]).await;
        let body = answer.rest().await;
        match answer.status {
            200 => {
                assert!(body.len() <= CAP + 4096, "{} bytes at once", body.len());
                assert!(body.len() > CAP - 2 * 4096, "only {} bytes", body.len());
                let_in += 1;
                bytes += body.len();
            }
            status => assert_eq!(status, 429),
        }
        if n % 10 == 0 {
            hub.publish("news", n.to_string()).await.unwrap();
            expected.push(n.to_string());
        }
    }
    hub.publish("news", "last").await.unwrap();
    expected.push("last".to_owned());
    let most = u64::from(A_MINUTE) + start.elapsed().as_secs() * u64::from(A_MINUTE) / 60 + 1;
    assert!((u64::from(A_MINUTE)..=most).contains(&let_in), "{let_in} of 1000, {most} at the most");
    assert!(bytes <= let_in as usize * (CAP + 4096));
    assert_eq!(reader.await.unwrap(), expected);
}

/// A client that stops reading is sent away where the endpoint says so, and told of its loss when it is back.
pub(crate) async fn a_slow_client_is_sent_away(framework: Framework) {
    let options = StreamOptions::new().keep_alive(Duration::from_millis(100)).on_lag(OnLag::Reconnect);
    let hub = Hub::builder().max_bytes(1 << 20).build();
    let server =
        framework.serve(App { endpoints: HashMap::from([("slow", options)]), ..App::new(hub) }).await;
    let mut slow = http::get(server.addr, "/with/slow").await;
    let opening = slow.until(|text| text.contains("\n\n")).await;
    let payload = "x".repeat(50_000);
    // More than the sockets' buffers and the log hold together.
    for n in 0..1_000 {
        server.hub.publish("news", format!("{n}\n{payload}")).await.unwrap();
    }
    let seen = http::events(&(opening + &slow.rest().await));
    assert!(seen.iter().all(|seen| seen.kind != "sse-gap"), "it is told when it is back");
    let number = |seen: &http::Seen| seen.data.split_once('\n').and_then(|(n, _)| n.parse::<usize>().ok());
    let before: Vec<_> = seen.iter().filter_map(number).collect();
    assert_eq!(before, (0..before.len()).collect::<Vec<_>>());
    assert!(before.len() < 1_000);
    let id = seen.last().and_then(|seen| seen.id.clone()).unwrap();
    let mut back = http::resume(server.addr, "/with/slow", id.as_bytes()).await;
    let seen = http::events(&back.until(|text| text.contains("data: 999\n") && text.ends_with("\n\n")).await);
    let gap: serde_json::Value = serde_json::from_str(&seen[0].data).unwrap();
    assert_eq!((&*seen[0].kind, &gap["reason"]), ("sse-gap", &serde_json::json!("trimmed")));
    let after: Vec<_> = seen.iter().filter_map(number).collect();
    assert_eq!(after, (after[0]..1_000).collect::<Vec<_>>());
    assert!(after[0] > before.len());
}

pub(crate) async fn chromium_comes_back_until_there_is_a_place(framework: Framework) {
    a_browser_comes_back(framework, Client::Chromium).await;
}

pub(crate) async fn firefox_comes_back_until_there_is_a_place(framework: Framework) {
    a_browser_comes_back(framework, Client::Firefox).await;
}

/// A browser's `EventSource` that finds no place waits as it is told, and is let in once there is one.
async fn a_browser_comes_back(framework: Framework, client: Client) {
    let Some(browser) = clients::browser(client).await else {
        return;
    };
    let served = Served::start(framework, Limits::builder().max_streams(1)).await;
    let holder = opened(served.get("/events", &[]).await).await;
    browser.client().goto(&format!("http://{}/blank", served.server.addr)).await.unwrap();
    browser
        .run(
            "window.ends = 0;
             const seen = window.seen = [];
             const events = window.events = new EventSource('/events');
             events.onerror = () => window.ends++;
             events.onmessage = event => seen.push(event.data);",
        )
        .await;
    browser.wait_for("window.ends > 0").await;
    assert_eq!(browser.run("return window.events.readyState").await, serde_json::json!(0));
    drop(holder);
    // It waits for 5 to 7.5 s.
    let start = Instant::now();
    while browser.run("return window.seen.length").await == serde_json::json!(0) {
        assert!(start.elapsed() < 2 * PATIENCE, "it does not come back");
        served.server.hub.publish("news", "here").await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    browser.close().await;
}
