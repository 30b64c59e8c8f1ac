//! How many instructions a server executes in user space for one delivered event, counted by callgrind.
//!
//! Each server runs twice, for different numbers of events; the difference counts. Unlike time it hardly moves
//! between runs. `instructions [--clients 200] [--window 1] [--only a,b]`
//!
//! With `ENGINE_URL`, the URL of a Redis, what a hub with an engine executes beside one without.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use sse_benches::{Args, Process, Report, SERVERS, each_event, pin, programs};

/// Each without an engine, and with one.
const ENGINES: [&str; 6] =
    ["linger-actix 0", "engine-actix", "linger-rocket 0", "engine-rocket", "linger-warp 0", "engine-warp"];

fn main() {
    let args = Args::new();
    let clients = args.number("--clients", 200);
    let window = args.number("--window", 1);
    let programs = programs();
    pin(1);

    let with_engine = std::env::var_os("ENGINE_URL").is_some();
    let rows: Vec<Vec<String>> = args
        .servers(if with_engine { &ENGINES[..] } else { &SERVERS })
        .iter()
        .map(|name| {
            // A profile stays beside the programs, as `<server>.callgrind`.
            let start = || Process::start_counted(&programs, name);
            let [each] = each_event(clients, window, start, |process| [process.instructions() as f64]);
            vec![(*name).to_owned(), format!("{each:.0}")]
        })
        .collect();

    let mut report = Report::new("Instructions");
    report.text(&format!("{clients} clients, {window} under way, user space, publishing included.\n"));
    report.table(&["server", "instructions an event"], &rows);
    let with = if with_engine { "-engine" } else { "" };
    report.finish(&format!("instructions{with}-{window}"));
}
