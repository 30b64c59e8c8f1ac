//! How many instructions a server executes in user space for one delivered event, counted by callgrind.
//!
//! Each server runs twice, for different numbers of events; the difference counts. Unlike time it hardly moves
//! between runs. `instructions [--clients 200] [--window 1] [--only a,b]`
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use sse_benches::{Args, Fan, Process, Report, SERVERS, pin, programs};

fn main() {
    let args = Args::new();
    let clients = args.number("--clients", 200);
    let window = args.number("--window", 1);
    let programs = programs();
    pin(1);

    let rows: Vec<Vec<String>> = args
        .servers(&SERVERS)
        .iter()
        .map(|name| {
            let count = |events: u64| {
                let process = Process::start_counted(&programs, name);
                let mut fan = Fan::new(process.addr);
                fan.subscribe(clients, 32);
                fan.publish(window, events);
                process.instructions() as f64
            };
            let (few, many) = (20, 120);
            // The longer run comes last: its profile stays beside the programs, as `<server>.callgrind`.
            let less = count(few);
            let each = (count(many) - less) / ((many - few) as f64 * clients as f64);
            vec![(*name).to_owned(), format!("{each:.0}")]
        })
        .collect();

    let mut report = Report::new("Instructions");
    report.text(&format!("{clients} clients, {window} under way, user space, publishing included.\n"));
    report.table(&["server", "instructions an event"], &rows);
    report.finish(&format!("instructions-{window}"));
}
