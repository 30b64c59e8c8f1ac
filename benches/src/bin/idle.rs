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
            let run = || {
                let process = Process::start(&programs, name);
                let mut fan = Fan::new(process.addr);
                // What the first ones cause to be set up is no part of a connection.
                fan.subscribe(100, 64);
                fan.publish(1, 20);
                let before = process.resident();
                fan.subscribe(clients, 64);
                let each = || {
                    std::thread::sleep(Duration::from_millis(200));
                    (process.resident() - before) / clients as f64
                };
                let fresh = each();
                fan.publish(1, 20);
                [fresh, each()]
            };
            let runs: Vec<[f64; 2]> = (0..runs).map(|_| run()).collect();
            [0, 1].map(|when| median(runs.iter().map(|run| run[when]).collect()))
        })
        .collect();

    let mut report = Report::new("Idle connections");
    report.text(&format!(
        "KiB resident for each of {clients} idle connections, median of {runs} runs: when they have just been \
         opened, and after 20 events. The floor is the framework's streaming body with the same header fields and \
         opening bytes as ours. The bare body has its media type alone and sends nothing at its opening: its \
         buffers are in use only after the events.\n"
    ));
    let over = |name: &str, kind: &str, when: usize| {
        let kib = |name: &str| Some(each[names.iter().position(|other| *other == name)?][when]);
        let over = kib(name).zip(kib(&format!("{}-{kind}", framework(name))));
        over.map_or_else(|| "–".to_owned(), |(kib, other)| format!("{:.2}", kib - other))
    };
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(&each)
        .map(|(name, kib)| {
            let cells = [0, 1].into_iter().flat_map(|when| {
                [format!("{:.2}", kib[when]), over(name, "floor", when), over(name, "bare", when)]
            });
            [(*name).to_owned()].into_iter().chain(cells).collect()
        })
        .collect();
    let (floor, bare) = ("over the floor", "over the bare body");
    report.table(&["server", "opened", floor, bare, "after 20 events", floor, bare], &rows);
    report.finish("idle");
}
