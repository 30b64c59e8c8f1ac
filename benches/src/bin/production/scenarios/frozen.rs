//! Many clients read nothing any more, while much is published.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Scale, millis, quantiles, seconds};
use crate::{
    figure::Figure,
    processes::{Crowd, Server},
    publisher::Publisher,
    server::{NEWS, Settings},
};

/// Who reads all of it.
const READERS: usize = 10;

/// Within which time the sockets of those that read nothing are full.
const FILLING: Duration = Duration::from_secs(2);

/// In milliseconds.
const USER_TIMEOUT: u64 = 20_000;

/// Longer than that.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    let frozen = scale.of(1_000, 50);
    let settings = Settings { user_timeout: USER_TIMEOUT, ..Settings::default() };
    let alone = {
        let mut server = Server::start(framework, &settings).await;
        let mut readers = Crowd::hold(server.addr, READERS, 0, "/events").await;
        flood(&mut server, &mut readers).await
    };

    let mut server = Server::start(framework, &settings).await;
    let mut readers = Crowd::hold(server.addr, READERS, 0, "/events").await;
    let crowd = Crowd::hold(server.addr, frozen, 0, "/events").await;
    let before = kernel_pages();
    crowd.freeze();
    let start = Instant::now();
    let beside = flood(&mut server, &mut readers).await;
    let (kernel, sockets) = (kernel_pages() - before, server_sockets(server.addr.port()));
    // The readers stay; their own connections are not to end.
    let freed = server.until_streams(READERS, LIMIT).await.map(|_| start.elapsed());
    let open = server.streams().await;
    crowd.kill().await;

    let ratio = millis(&beside, "p99") / millis(&alone, "p99");
    let later = millis(&beside["later"], "p99") / millis(&alone["later"], "p99");
    let bound = Duration::from_millis(USER_TIMEOUT) * 11 / 10 + Duration::from_secs(2);
    let (over_http2, left) = over_http2(framework, frozen).await;
    vec![
        Figure::seen("others, alone: p50 / p99 / max", quantiles(&alone)),
        Figure::seen("others, beside them: p50 / p99 / max", quantiles(&beside)),
        Figure::timed("p99 beside them × alone", "≤ 3", format!("{ratio:.1}"), ratio <= 3.0),
        Figure::seen("the same after 2 s, when their sockets are full", quantiles(&beside["later"])),
        Figure::seen("p99 then × alone", format!("{later:.1}")),
        Figure::timed(
            "kernel memory of the server's sockets (`ss -tm`)",
            "≤ 200 MB",
            sockets.map_or_else(|| "no `ss` here".to_owned(), |bytes| format!("{:.0} MB", bytes / 1e6)),
            sockets.is_some_and(|bytes| bytes <= 200e6),
        ),
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

/// 100 MB in ten seconds, and the time of day amid it.
async fn flood(server: &mut Server, readers: &mut Crowd) -> Value {
    let mut publisher = Publisher::new(server.addr);
    publisher.tell_time(50, Duration::from_millis(20)).await;
    readers.ask("clear").await;
    let flood = format!("publish {NEWS} 10000 10000 1000");
    let mark = async {
        tokio::time::sleep(FILLING).await;
        readers.ask("mark").await;
    };
    tokio::join!(server.ask(&flood), publisher.tell_time(500, Duration::from_millis(20)), mark);
    tokio::time::sleep(Duration::from_millis(500)).await;
    readers.stats().await
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
