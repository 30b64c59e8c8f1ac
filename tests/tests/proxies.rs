//! Streams behind nginx, Caddy and HAProxy, set as `docs/proxies.md` says and compressing whatever they can, over
//! HTTP/1.1 and, with TLS, HTTP/2. Each case is a test of its own for each proxy and framework.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use sse_core::{Hub, Lifecycle, Limits, TrustedProxies};
use sse_tests::{
    http::without_jitter,
    reverse_proxy::{Client, Program, ReverseProxy, Setting, Stream},
    servers::{App, Framework, Server},
};

/// Below and above what proxies take for worth compressing (Caddy: 512 bytes), and above their buffers.
const SIZES: [usize; 4] = [10, 600, 5_000, 70_000];

const AT_ONCE: Duration = Duration::from_millis(100);

macro_rules! behind {
    ($($proxy:ident $program:ident)*) => {$(
        mod $proxy {
            behind!(@framework actix Actix $program);
            behind!(@framework rocket Rocket $program);
            behind!(@framework warp Warp $program);
        }
    )*};
    (@framework $name:ident $framework:ident $program:ident) => {
        mod $name {
            use sse_tests::{reverse_proxy::Program::$program, servers::Framework::$framework};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn events_arrive_at_once() {
                crate::behind($framework, $program, crate::events_arrive_at_once).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn resuming_is_exact() {
                crate::behind($framework, $program, crate::resuming_is_exact).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_client_counts_by_its_own_address() {
                crate::a_client_counts_by_its_own_address($framework, $program).await;
            }
        }
    };
}

behind! {
    nginx Nginx
    caddy Caddy
    haproxy Haproxy
}

/// Runs a case for each setting of the proxy and version of HTTP.
async fn behind(framework: Framework, program: Program, case: impl AsyncFn(&Server, &Client)) {
    if !program.is_available() {
        return;
    }
    let server = framework.serve(App::new(Hub::new())).await;
    for setting in [Setting::Page, Setting::Gzip] {
        let proxy = ReverseProxy::start(program, setting, server.addr).await;
        for client in [proxy.http_1(), proxy.http_2()] {
            // Shown where it fails.
            println!("{program}, {setting:?}, {:?}", client.version);
            case(&server, &client).await;
        }
    }
}

async fn events_arrive_at_once(server: &Server, client: &Client) {
    let mut stream = opened(client).await;
    for size in SIZES {
        // On a busy machine an attempt may be late; what a proxy holds back is late in all of them.
        let mut best = Duration::MAX;
        for _ in 0..20 {
            best = best.min(percentile(&mut delays(&server.hub, &mut stream, size, 9).await, 50));
            if best <= AT_ONCE {
                break;
            }
        }
        assert!(best <= AT_ONCE, "events of {size} bytes take {best:?}");
    }
}

async fn resuming_is_exact(server: &Server, client: &Client) {
    for (size, count) in [(10, 1), (600, 1), (5_000, 1), (70_000, 1), (250_000, 2), (100, 1_000)] {
        let id = server.hub.position().to_string();
        let mut expected = ":\nretry: N\n".to_owned();
        for n in 0..=count {
            let data = format!("{n} {}", "x".repeat(size));
            if n < count {
                expected += &frame(&server.hub, &data).await;
                continue;
            }
            let mut stream = client.open("/events", Some(&id)).await;
            let replayed = stream.until(|text| text.len() >= expected.len()).await;
            assert!(without_jitter(&replayed) == expected, "{count} x {size} bytes: {replayed:.300?}");
            let live = frame(&server.hub, &data).await;
            assert!(stream.until(|text| text.len() >= live.len()).await == live, "live after {size} bytes");
        }
    }
}

/// One stream for each address: that which the proxy sees, not that which the client writes.
async fn a_client_counts_by_its_own_address(framework: Framework, program: Program) {
    if !program.is_available() {
        return;
    }
    // Which is the proxy's; the clients' are others.
    let proxies = TrustedProxies::networks(["127.0.0.1"]).unwrap();
    let limits = Limits::builder().max_streams_per_address(1).trusted_proxies(proxies).build();
    let hub = Hub::builder().lifecycle(&Lifecycle::builder().limits(&limits).build()).build();
    let server = framework.serve(App::new(hub)).await;
    let proxy = ReverseProxy::start(program, Setting::Page, server.addr).await;
    let address = |last| IpAddr::from([127, 0, 1, last]);
    let clients = [
        [proxy.http_1_from(address(1)), proxy.http_1_from(address(2))],
        [proxy.http_2_from(address(3)), proxy.http_2_from(address(4))],
    ];
    let mut streams = Vec::new();
    for [one, other] in &clients {
        streams.push(opened(one).await);
        for written in ["192.0.2.1", "192.0.2.1, 127.0.0.1", "127.0.1.9"] {
            let answer = one.ask("/events", &[("x-forwarded-for", written)]).await;
            assert_eq!(answer.status(), 429, "{program} {:?} {written}", one.version);
        }
        streams.push(opened(other).await);
        assert_eq!(other.ask("/events", &[]).await.status(), 429);
    }
    assert_eq!(limits.streams(), streams.len());
}

/// Publishes an event; its bytes on the wire.
async fn frame(hub: &Hub, data: &str) -> String {
    let id = hub.publish("news", data).await.unwrap();
    format!("data: {data}\nid: {id}\n\n")
}

async fn opened(client: &Client) -> Stream {
    let mut stream = client.open("/events", None).await;
    stream.until(|text| text.contains("sse-position") && text.ends_with("\n\n")).await;
    stream
}

/// How long events take, each published after the last one has arrived.
async fn delays(hub: &Hub, stream: &mut Stream, size: usize, count: usize) -> Vec<Duration> {
    let data = "x".repeat(size);
    let mut delays = Vec::new();
    for _ in 0..count {
        let published = Instant::now();
        let frame = frame(hub, &data).await;
        let read = stream.until(|text| text.len() >= frame.len()).await;
        delays.push(published.elapsed());
        assert!(read == frame, "{read:.300?}");
    }
    delays
}

fn percentile(delays: &mut [Duration], percent: usize) -> Duration {
    delays.sort();
    delays[(delays.len() - 1) * percent / 100]
}

/// Proxies give up on what is silent for 50 or 60 seconds; keep-alives come every 15.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes more than two minutes"]
async fn silent_streams_stay_open() {
    let server = Framework::Actix.serve(App::new(Hub::new())).await;
    let mut open = Vec::new();
    for program in Program::ALL.into_iter().filter(|program| program.is_available()) {
        let proxy = ReverseProxy::start(program, Setting::Page, server.addr).await;
        let streams = [opened(&proxy.http_1()).await, opened(&proxy.http_2()).await];
        open.push((program, proxy, streams));
    }
    tokio::time::sleep(Duration::from_secs(130)).await;
    let last = frame(&server.hub, "still here").await;
    for (program, _proxy, streams) in &mut open {
        for stream in streams {
            let read = stream.until(|text| text.ends_with(&last)).await;
            assert_eq!(read.trim_start_matches(":\n"), last, "{program}");
        }
    }
}

/// The figures in `docs/proxies.md`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, to be taken with --release on a quiet machine"]
async fn figures() {
    println!("| proxy | setting | HTTP | size | actix p50, p99 | Rocket | warp |");
    for program in Program::ALL {
        for setting in [Setting::Page, Setting::Gzip, Setting::Delay] {
            if !program.is_available() || (setting == Setting::Delay && program != Program::Haproxy) {
                continue;
            }
            for version in ["1.1", "2"] {
                for size in SIZES {
                    print!("| {program} | {setting:?} | {version} | {size} |");
                    for framework in Framework::ALL {
                        let server = framework.serve(App::new(Hub::new())).await;
                        let proxy = ReverseProxy::start(program, setting, server.addr).await;
                        let client = if version == "2" { proxy.http_2() } else { proxy.http_1() };
                        let mut stream = opened(&client).await;
                        let mut delays = delays(&server.hub, &mut stream, size, 101).await;
                        let millis = |delay: Duration| delay.as_secs_f64() * 1000.0;
                        let (p50, p99) = (percentile(&mut delays, 50), percentile(&mut delays, 99));
                        print!(" {:.1}, {:.1} |", millis(p50), millis(p99));
                    }
                    println!();
                }
            }
        }
    }
}
