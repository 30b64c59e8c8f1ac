//! How many system calls a server makes for one delivered event, by kind, counted by strace.
//!
//! Each server runs twice, for different numbers of events; the difference counts. It needs `strace`.
//! `syscalls [--clients 200] [--only a,b]`
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use sse_benches::{Args, CALLS, Calls, Process, Report, SERVERS, each_event, pin, programs};

fn main() {
    let args = Args::new();
    let clients = args.number("--clients", 200);
    let programs = programs();
    pin(1);

    let mut report = Report::new("System calls");
    report.text(&format!(
        "{clients} clients; calls of the whole server for a delivered event, publishing included. Tracing makes each \
         call several times as slow, so that with many events under way more of them may meet in one write than \
         otherwise.\n"
    ));
    for (window, title) in [(1, "One event at a time"), (16, "Up to 16 events under way")] {
        report.text(&format!("## {title}\n"));
        let row = |name: &&str| {
            let calls =
                each_event(clients, window, || Process::start_traced(&programs, name), Process::calls);
            row(name, &calls)
        };
        let rows: Vec<Vec<String>> = args.servers(&SERVERS).iter().map(row).collect();
        report.table(&[&["server", "all"][..], &CALLS].concat(), &rows);
    }
    report.finish("syscalls");
}

fn row(name: &str, calls: &Calls) -> Vec<String> {
    let counts = [calls.iter().sum()].into_iter().chain(*calls);
    // Where no event causes a call, the runs differ by chance, by less than nothing too.
    let counts = counts.map(|count: f64| format!("{:.3}", count.max(0.0)));
    [name.to_owned()].into_iter().chain(counts).collect()
}
