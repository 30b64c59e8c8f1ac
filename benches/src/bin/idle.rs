//! Resident memory of an idle connection: ours beside the framework's streaming body, with the same head and
//! opening and without, and beside its own events.
//!
//! `idle [--clients 5000] [--runs 3] [--only a,b]`
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::time::Duration;

use sse_benches::{Args, Fan, Process, Report, SERVERS, framework, median, pin, programs};

/// Streaming bodies with neither our head nor our opening; nowhere else measured.
const BARE: [&str; 3] = ["actix-bare", "warp-bare", "rocket-bare"];

fn main() {
    let args = Args::new();
    let clients = args.number("--clients", 5000);
    let runs = args.number("--runs", 3);
    let programs = programs();
    pin(1);

    let names = args.servers(&[&SERVERS[..], &BARE].concat());
    let each: Vec<[f64; 2]> = names
        .iter()
        .map(|name| {
            [Process::start_paged, Process::start]
                .map(|start| median((0..runs).map(|_| connection(start(&programs, name), clients)).collect()))
        })
        .collect();

    let mut report = Report::new("Idle connections");
    report.text(&format!(
        "KiB resident for each of {clients} connections that idle after 20 events, median of {runs} runs: with the \
         buffers of 8 KiB and more on pages of their own (`mmap_threshold=8000`), and as the allocator places them. \
         In the latter a dozen bytes more or less can move a server by 1 KiB and more, up or down, as all its \
         connections come to lie alike; so the former compares. The floor is the framework's streaming body with \
         the same header fields and opening bytes as ours. The bare body has its media type alone and sends nothing \
         at its opening.\n"
    ));
    let over = |name: &str, kind: &str, placed: usize| {
        let kib = |name: &str| Some(each[names.iter().position(|other| *other == name)?][placed]);
        let over = kib(name).zip(kib(&format!("{}-{kind}", framework(name))));
        over.map_or_else(|| "–".to_owned(), |(kib, other)| format!("{:.2}", kib - other))
    };
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(&each)
        .map(|(name, kib)| {
            let cells = [0, 1].into_iter().flat_map(|placed| {
                [format!("{:.2}", kib[placed]), over(name, "floor", placed), over(name, "bare", placed)]
            });
            [(*name).to_owned()].into_iter().chain(cells).collect()
        })
        .collect();
    let (floor, bare) = ("over the floor", "over the bare body");
    report.table(&["server", "own pages", floor, bare, "as placed", floor, bare], &rows);
    report.finish("idle");
}

/// What each connection adds to a server's memory, in KiB.
fn connection(process: Process, clients: usize) -> f64 {
    let mut fan = Fan::new(process.addr);
    // What the first ones cause to be set up is no part of a connection.
    fan.subscribe(100, 64);
    fan.publish(1, 20);
    let before = process.resident();
    fan.subscribe(clients, 64);
    fan.publish(1, 20);
    std::thread::sleep(Duration::from_millis(200));
    (process.resident() - before) / clients as f64
}
