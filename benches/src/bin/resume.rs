//! Clients that come back at once, all of them 100 events behind: how long until each has all.
//!
//! `resume [--clients 1000] [--behind 100] [--runs 5]`. Rocket listens with a backlog of 128, so that it is
//! measured with 64 connecting at a time, and the bare loop beside it likewise.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::time::{Duration, Instant};

use sse_benches::{Args, Fan, Process, Report, median, pin, programs};

const ALL: usize = usize::MAX;

/// Who, and how many connect at a time. Each is compared with the bare loop that connects alike.
const CASES: [(&str, usize); 5] =
    [("epoll-log", ALL), ("ours-actix", ALL), ("ours-warp", ALL), ("epoll-log", 64), ("ours-rocket", 64)];

fn main() {
    let args = Args::new();
    let clients = args.number("--clients", 1000);
    let behind = args.number("--behind", 100) as u64;
    let runs = args.number("--runs", 5);
    let programs = programs();
    pin(1);

    let servers: Vec<(Process, String)> = CASES
        .iter()
        .map(|(name, _)| {
            let process = Process::start(&programs, name);
            let mut fan = Fan::new(process.addr);
            fan.subscribe(1, 1);
            fan.publish(1, 1);
            let id = fan.last_id.clone().expect("an id");
            fan.publish(1, behind);
            (process, id)
        })
        .collect();

    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); CASES.len()];
    let mut cpu: Vec<Vec<f64>> = vec![Vec::new(); CASES.len()];
    // The first round warms up.
    for round in 0..=runs {
        for (case, (process, id)) in servers.iter().enumerate() {
            let mut fan = Fan::new(process.addr);
            let (before, start) = (process.cpu(), Instant::now());
            fan.subscribe_after(Some(id), behind, clients, CASES[case].1);
            let taken = start.elapsed();
            if round > 0 {
                seconds[case].push(taken.as_secs_f64());
                cpu[case].push((process.cpu() - before).as_secs_f64());
            }
            drop(fan);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    let mut report = Report::new("Coming back");
    report.text(&format!(
        "{clients} clients return {behind} events behind; {runs} rounds by turns, medians. Time counts from the \
         first connect until the last client has its last event.\n"
    ));
    let rows: Vec<Vec<String>> = CASES
        .iter()
        .enumerate()
        .map(|(case, &(name, at_once))| {
            let bare = CASES.iter().position(|&other| other == ("epoll-log", at_once)).expect("a bare loop");
            let ratio = seconds[case].iter().zip(&seconds[bare]).map(|(ours, bare)| ours / bare).collect();
            let at_once = if at_once == ALL { "all".to_owned() } else { at_once.to_string() };
            vec![
                name.to_owned(),
                at_once,
                format!("{:.1}", median(seconds[case].clone()) * 1e3),
                format!("{:.2}", median(ratio)),
                format!("{:.1}", median(cpu[case].clone()) * 1e6 / clients as f64),
            ]
        })
        .collect();
    report.table(&["server", "connecting at a time", "ms", "× epoll-log", "CPU µs a client"], &rows);
    report.finish("resume");
}
