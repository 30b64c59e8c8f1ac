//! A crowd that waits.

use std::{process::Command, time::Duration};

use sse_benches::Process;
use tokio::time::sleep;

use super::{Scale, delivered, millis, number};
use crate::{
    figure::Figure,
    processes::{Crowd, Server, this_program},
    publisher::Publisher,
    server::Settings,
};

/// What the first ones cause to be set up is no part of a connection.
const FIRST: usize = 100;

/// Longer than the longest keep-alive.
const LIMIT: Duration = Duration::from_secs(40);

/// Events to all, one after the other.
const EVENTS: usize = 5;

struct Seen {
    /// Which are still open, until this is dropped.
    crowds: [Crowd; 2],
    /// Of each connection.
    kib: f64,
    /// How many there were, and how many events they had.
    stats: serde_json::Value,
}

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    let clients = scale.of(9_000, 200);
    let mut server = Server::start(framework, &Settings::default()).await;
    let ours = crowd(server.addr, clients, || server.resident()).await;
    let open = server.streams().await;
    let full = server.resident() / 1024.0;
    drop(ours.crowds);
    let left = match scale {
        Scale::Full => server.until_streams(0, LIMIT).await,
        Scale::Short => None,
    };
    sleep(scale.of(Duration::from_secs(5), Duration::ZERO)).await;
    let after = server.resident() / 1024.0;
    drop(server);

    let had = number(&ours.stats, "events");
    let mut figures = vec![
        Figure::counted(
            "streams open",
            &format!("{}", clients + FIRST),
            open.to_string(),
            open == clients + FIRST,
        ),
        Figure::counted(
            "events that arrived",
            &(EVENTS * clients).to_string(),
            had.to_string(),
            had == EVENTS * clients,
        ),
        Figure::seen(
            "one event to all, p50 / max",
            format!("{:.0} / {:.0} ms", millis(&ours.stats, "p50"), millis(&ours.stats, "max")),
        ),
    ];
    // The framework's own is another program; in the short form, which compares nothing, it is not built.
    if scale == Scale::Full {
        build_peer();
        let folder = this_program().parent().expect("a folder").to_owned();
        let process = Process::start(&folder, &format!("{framework}-own"));
        let own = crowd(process.addr, clients, || process.resident()).await;
        let ratio = ours.kib / own.kib;
        figures.extend([
            Figure::seen(
                "RSS with all of them; 5 s after all slots are free",
                if left.is_some() {
                    format!("{full:.0}; {after:.0} MB")
                } else {
                    "not all are free".to_owned()
                },
            ),
            Figure::seen("KiB a connection", format!("{:.1}", ours.kib)),
            Figure::seen("KiB of the framework's own", format!("{:.1}", own.kib)),
            Figure::timed("× the framework's own", "≤ 1.1", format!("{ratio:.2}"), ratio <= 1.1),
            Figure::seen(
                "the framework's own: one event to all, p50 / max",
                format!("{:.0} / {:.0} ms", millis(&own.stats, "p50"), millis(&own.stats, "max")),
            ),
        ]);
    }
    figures
}

async fn crowd(addr: std::net::SocketAddr, clients: usize, resident: impl Fn() -> f64) -> Seen {
    let first = Crowd::hold(addr, FIRST, 0, "/events").await;
    let mut publisher = Publisher::new(addr);
    publisher.tell_time(20, Duration::from_millis(5)).await;
    let before = resident();
    let mut crowd = Crowd::hold(addr, clients, 0, "/events").await;
    let mut stats = serde_json::Value::Null;
    for n in 1..=EVENTS {
        publisher.tell_time(1, Duration::ZERO).await;
        stats = delivered(&mut crowd, n * clients).await;
    }
    sleep(Duration::from_millis(500)).await;
    let kib = (resident() - before) / clients as f64;
    Seen { crowds: [first, crowd], kib, stats }
}

fn build_peer() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "sse-benches", "--bin", "peer"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the peers do not build");
}
