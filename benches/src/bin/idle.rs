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
         opened, and after 20 events. A bare body sends nothing at its opening, so that only the second compares \
         connections whose buffers have been used.\n"
    ));
    let floor = |name: &str| names.iter().position(|other| *other == format!("{}-floor", framework(name)));
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(&each)
        .map(|(name, kib)| {
            let over = |when: usize| {
                floor(name)
                    .map_or_else(|| "–".to_owned(), |floor| format!("{:.2}", kib[when] - each[floor][when]))
            };
            let kib = kib.map(|kib| format!("{kib:.2}"));
            vec![(*name).to_owned(), kib[0].clone(), over(0), kib[1].clone(), over(1)]
        })
        .collect();
    report.table(&["server", "opened", "over the bare body", "after 20 events", "over the bare body"], &rows);
    report.finish("idle");
}
