//! Resident memory of an idle connection: ours beside the framework's bare body and its own events.
//!
//! `idle [--clients 5000] [--runs 3] [--only a,b]`
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::time::Duration;

use sse_benches::{Args, Fan, Process, Report, SERVERS, framework, median, pin, programs};

fn main() {
    let args = Args::new();
    let clients = args.number("--clients", 5000);
    let runs = args.number("--runs", 3);
    let programs = programs();
    pin(1);

    let names = args.servers(&SERVERS);
    let each: Vec<f64> = names
        .iter()
        .map(|name| {
            let run = |_| {
                let process = Process::start(&programs, name);
                let mut fan = Fan::new(process.addr);
                // What the first ones cause to be set up is no part of a connection.
                fan.subscribe(100, 64);
                let before = process.resident();
                fan.subscribe(clients, 64);
                std::thread::sleep(Duration::from_millis(200));
                (process.resident() - before) / clients as f64
            };
            median((0..runs).map(run).collect())
        })
        .collect();

    let mut report = Report::new("Idle connections");
    report.text(&format!("KiB resident for each of {clients} idle connections, median of {runs} runs.\n"));
    let floor = |name: &str| names.iter().position(|other| *other == format!("{}-floor", framework(name)));
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(&each)
        .map(|(name, kib)| {
            let over =
                floor(name).map_or_else(|| "–".to_owned(), |floor| format!("{:.2}", kib - each[floor]));
            vec![(*name).to_owned(), format!("{kib:.2}"), over]
        })
        .collect();
    report.table(&["server", "KiB", "over the bare body"], &rows);
    report.finish("idle");
}
