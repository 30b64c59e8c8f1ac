//! Many clients read nothing any more, while much is published.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::sleep;

use super::{Scale, millis, quantiles, seconds};
use crate::{
    figure::Figure,
    processes::{Crowd, Server},
    publisher::Publisher,
    server::{BARE, NEWS, Settings},
};

/// Who reads all of it.
const READERS: usize = 10;

/// Within which time the sockets of those that read nothing are full.
const FILLING: Duration = Duration::from_secs(2);

/// In milliseconds.
const USER_TIMEOUT: u64 = 20_000;

/// Between two events that say what time it is, and how many say so by turns.
const APART: Duration = Duration::from_millis(20);
const TELLERS: u32 = 10;

/// 100 MB in ten seconds.
const FLOOD: usize = 10_000;

/// Events that fill the socket of who does not read.
const FILL: usize = 17;

/// Longer than that.
const LIMIT: Duration = Duration::from_secs(60);

/// What is read, and how it is published.
#[derive(Clone, Copy)]
struct Way {
    path: &'static str,
    topic: &'static str,
    publish: &'static str,
}

const OURS: Way = Way { path: "/events", topic: NEWS, publish: "/publish" };

/// The framework's own streaming body, over a channel of the same bytes, on the same listener.
const FLOOR: Way = Way { path: "/bare", topic: BARE, publish: "/bare" };

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    let frozen = scale.of(1_000, 50);
    let settings = Settings { user_timeout: USER_TIMEOUT, ..Settings::default() };
    let alone = alone(framework, &settings, OURS).await;
    let floor_alone = self::alone(framework, &settings, FLOOR).await;
    let floor = {
        let (mut server, mut readers, crowd) = full(framework, &settings, FLOOR, frozen).await;
        crowd.freeze();
        flood(&mut server, &mut readers, FLOOR, FLOOD).await
    };

    // As many that read, and no more than what those take that do not.
    let reading = {
        let (mut server, mut readers, _crowd) = full(framework, &settings, OURS, frozen).await;
        flood(&mut server, &mut readers, OURS, FILL).await
    };

    let (mut server, mut readers, crowd) = full(framework, &settings, OURS, frozen).await;
    let before = kernel_pages();
    crowd.freeze();
    let start = Instant::now();
    let beside = flood(&mut server, &mut readers, OURS, FLOOD).await;
    let resident = server.resident() / 1024.0;
    let (kernel, sockets) = (kernel_pages() - before, server_sockets(server.addr.port()));
    // The readers stay; their own connections are not to end.
    let freed = server.until_streams(READERS, LIMIT).await.map(|_| start.elapsed());
    let open = server.streams().await;
    crowd.kill().await;

    let ratio = |of: &Value, to: &Value| millis(of, "p99") / millis(to, "p99");
    let later = ratio(&beside["later"], &alone["later"]);
    let to_floor = ratio(&beside["first"], &floor["first"]);
    let bound = Duration::from_millis(USER_TIMEOUT) * 11 / 10 + Duration::from_secs(2);
    let (over_http2, left) = over_http2(framework, frozen).await;
    vec![
        Figure::seen("others, alone: p50 / p99 / max", quantiles(&alone)),
        Figure::seen("others, beside them: p50 / p99 / max", quantiles(&beside)),
        Figure::seen("p99 beside them × alone", format!("{:.1}", ratio(&beside, &alone))),
        Figure::seen("in the first 2 s: p50 / p99 / max", quantiles(&beside["first"])),
        Figure::seen("the same, of the framework's own body", quantiles(&floor["first"])),
        Figure::timed(
            "p99 in the first 2 s × the framework's own body's",
            "≤ 1.1",
            format!("{to_floor:.2}"),
            to_floor <= 1.1,
        ),
        Figure::seen(
            &format!("in the first 2 s beside as many that read {FILL} events, and no more are published"),
            quantiles(&reading["first"]),
        ),
        Figure::seen("alone, after 2 s: p50 / p99 / max", quantiles(&alone["later"])),
        Figure::seen("beside them, after 2 s, when their sockets are full", quantiles(&beside["later"])),
        Figure::timed("p99 after 2 s, beside them × alone", "≤ 3", format!("{later:.1}"), later <= 3.0),
        Figure::seen("alone, after 2 s, of the framework's own body", quantiles(&floor_alone["later"])),
        Figure::seen("beside them, after 2 s, of the framework's own body", quantiles(&floor["later"])),
        Figure::timed(
            "kernel memory of the server's sockets (`ss -tm`)",
            "≤ 200 MB",
            sockets.map_or_else(|| "no `ss` here".to_owned(), |bytes| format!("{:.0} MB", bytes / 1e6)),
            sockets.is_some_and(|bytes| bytes <= 200e6),
        ),
        Figure::seen("RSS of the server then, its log of 16 MiB included", format!("{resident:.0} MB")),
        Figure::seen(
            "kernel memory, the clients' own included (`sockstat`)",
            format!("{:.0} MB", kernel * 4096.0 / 1e6),
        ),
        Figure::timed(
            "slots free after",
            &format!("≤ {:.0} s", bound.as_secs_f64()),
            seconds(freed, LIMIT),
            freed.is_some_and(|freed| freed <= bound),
        ),
        Figure::counted("streams left", &READERS.to_string(), open.to_string(), open == READERS),
        Figure::timed(
            "HTTP/2, 50 streams a connection: slots free after",
            &format!("≤ {:.0} s", bound.as_secs_f64()),
            seconds(over_http2, LIMIT),
            over_http2.is_some_and(|freed| freed <= bound),
        ),
        Figure::counted("HTTP/2: streams left", "0", left.to_string(), left == 0),
    ]
}

/// When those are free that share connections, and how many never are.
async fn over_http2(framework: &str, frozen: usize) -> (Option<Duration>, usize) {
    let settings = Settings { user_timeout: USER_TIMEOUT, http2: 1, ..Settings::default() };
    let mut server = Server::start(framework, &settings).await;
    let crowd = Crowd::hold(server.addr, frozen, 50, "/events").await;
    crowd.freeze();
    let start = Instant::now();
    server.ask(&format!("publish {NEWS} 10000 500 2000")).await;
    let freed = server.until_streams(0, LIMIT).await.map(|_| start.elapsed());
    let left = server.streams().await;
    crowd.kill().await;
    (freed, left)
}

/// What readers see without any other client.
async fn alone(framework: &str, settings: &Settings, way: Way) -> Value {
    let (mut server, mut readers, _) = full(framework, settings, way, 0).await;
    flood(&mut server, &mut readers, way, FLOOD).await
}

async fn full(framework: &str, settings: &Settings, way: Way, others: usize) -> (Server, Crowd, Crowd) {
    let server = Server::start(framework, settings).await;
    let readers = Crowd::hold(server.addr, READERS, 0, way.path).await;
    let others = Crowd::hold(server.addr, others, 0, way.path).await;
    (server, readers, others)
}

/// As much in a time as fills a socket of who does not read, so often in all, and the time of day amid it.
async fn flood(server: &mut Server, readers: &mut Crowd, way: Way, events: usize) -> Value {
    let mut publisher = Publisher::new(server.addr);
    publisher.tell_time_at(way.publish, 50, Duration::from_millis(20)).await;
    readers.ask("clear").await;
    let (addr, flood) = (server.addr, format!("publish {} 10000 {events} 1000", way.topic));
    let time = Duration::from_millis(events as u64).max(FILLING);
    let mark = async {
        sleep(FILLING).await;
        readers.ask("mark").await;
    };
    tokio::join!(server.ask(&flood), tell_time(addr, way, time), mark);
    sleep(Duration::from_millis(500)).await;
    readers.stats().await
}

/// What time it is, 50 times a second, whether or not the last was answered: by several in turn, so that a server that
/// stands still for a moment is not spared what comes in it.
async fn tell_time(addr: SocketAddr, way: Way, time: Duration) {
    let times = (time.as_millis() / (APART * TELLERS).as_millis()) as usize;
    let tellers = (0..TELLERS).map(|n| async move {
        sleep(APART * n).await;
        Publisher::new(addr).tell_time_at(way.publish, times, APART * TELLERS).await;
    });
    join_all(tellers).await;
}

/// Pages that all TCP sockets of the machine hold.
fn kernel_pages() -> f64 {
    let stat = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let tcp = stat.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    tcp.split(' ').next_back().and_then(|pages| pages.parse().ok()).unwrap_or(f64::NAN)
}

/// Bytes that the sockets hold which were accepted at this port: what is queued and what the kernel allocated ahead.
fn server_sockets(port: u16) -> Option<f64> {
    let output =
        Command::new("ss").args(["-tnmH", "state", "connected", &format!("( sport = :{port} )")]).output();
    let text = String::from_utf8(output.ok().filter(|output| output.status.success())?.stdout).ok()?;
    let sum = text.split("skmem:(").skip(1).map(|memory| {
        let fields = memory.split(')').next().unwrap_or_default().split(',');
        let bytes = |field: &str| -> f64 {
            let digits = field.strip_prefix(['r', 't', 'w', 'f', 'o']).and_then(|digits| digits.parse().ok());
            digits.unwrap_or(0.0)
        };
        // `t` is of what `w` counts; `rb`, `tb`, `bl` and `d` are no numbers after one letter, or no memory.
        fields.filter(|field| !field.starts_with('t')).map(bytes).sum::<f64>()
    });
    Some(sum.sum())
}
