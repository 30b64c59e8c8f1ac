//! Clients that come back at once, all of them 100 events behind: how long until each has all.
//!
//! A run has servers of its own; its rounds go by turns. `resume [--clients 1000] [--behind 100] [--rounds 7]
//! [--runs 3]`. Rocket listens with a backlog of 128, so that it is measured with 64 connecting at a time, and the
//! bare loop beside it likewise.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sse_benches::{Args, Fan, Process, Report, median, pin, programs, spread};

const ALL: usize = usize::MAX;

/// Who, and how many connect at a time. Each is compared with the bare loop that connects alike.
const CASES: [(&str, usize); 5] =
    [("epoll-log", ALL), ("ours-actix", ALL), ("ours-warp", ALL), ("epoll-log", 64), ("ours-rocket", 64)];

struct Load {
    clients: usize,
    behind: u64,
    rounds: usize,
}

/// One return of all clients.
#[derive(Clone, Copy)]
struct Return {
    seconds: f64,
    /// CPU time of the server.
    cpu: f64,
}

/// What a case showed in one run: medians over its rounds.
struct Figures {
    seconds: f64,
    /// To the bare loop.
    ratio: f64,
    cpu: f64,
}

fn main() {
    let args = Args::new();
    let load = Load {
        clients: args.number("--clients", 1000),
        behind: args.number("--behind", 100) as u64,
        rounds: args.number("--rounds", 7),
    };
    let runs = args.number("--runs", 3);
    let programs = programs();
    pin(1);

    let all: Vec<Vec<Figures>> = (0..runs).map(|_| figures(&run(&programs, &load))).collect();

    let mut report = Report::new("Coming back");
    report.text(&format!(
        "{} clients return {} events behind; {} rounds by turns, {runs} runs, medians of the runs' medians. Time \
         counts from the first connect until the last client has its last event.\n",
        load.clients, load.behind, load.rounds
    ));
    let rows: Vec<Vec<String>> = (0..CASES.len()).map(|case| row(case, &all, load.clients)).collect();
    report.table(&["server", "connecting at a time", "ms", "× epoll-log", "CPU µs a client"], &rows);
    report.finish("resume");
}

fn row(case: usize, all: &[Vec<Figures>], clients: usize) -> Vec<String> {
    let (name, at_once) = CASES[case];
    let each = |figure: &dyn Fn(&Figures) -> f64| all.iter().map(|run| figure(&run[case])).collect();
    vec![
        name.to_owned(),
        if at_once == ALL { "all".to_owned() } else { at_once.to_string() },
        spread(each(&|f| f.seconds * 1e3), 1),
        spread(each(&|f| f.ratio), 2),
        spread(each(&|f| f.cpu * 1e6 / clients as f64), 1),
    ]
}

/// A server that has as many events to send again, and the id before them.
fn server(programs: &Path, name: &str, behind: u64) -> (Process, String) {
    let process = Process::start(programs, name);
    let mut fan = Fan::new(process.addr);
    fan.subscribe(1, 1);
    fan.publish(1, 1);
    let id = fan.last_id.clone().expect("an id");
    fan.publish(1, behind);
    (process, id)
}

/// Of each case, its returns.
fn run(programs: &Path, load: &Load) -> Vec<Vec<Return>> {
    let servers = CASES.map(|(name, _)| server(programs, name, load.behind));
    let mut returns: Vec<Vec<Return>> = vec![Vec::new(); CASES.len()];
    // The first round warms up.
    for round in 0..=load.rounds {
        for (case, (process, id)) in servers.iter().enumerate() {
            let mut fan = Fan::new(process.addr);
            let (before, start) = (process.cpu(), Instant::now());
            fan.subscribe_after(Some(id), load.behind, load.clients, CASES[case].1);
            let seconds = start.elapsed().as_secs_f64();
            if round > 0 {
                returns[case].push(Return { seconds, cpu: (process.cpu() - before).as_secs_f64() });
            }
            drop(fan);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    returns
}

fn figures(returns: &[Vec<Return>]) -> Vec<Figures> {
    let figures = |(own, (_, at_once)): (&Vec<Return>, &(&str, usize))| {
        let bare = CASES.iter().position(|other| other == &("epoll-log", *at_once)).expect("a bare loop");
        let ratios = own.iter().zip(&returns[bare]).map(|(own, bare)| own.seconds / bare.seconds);
        Figures {
            seconds: median(own.iter().map(|each| each.seconds).collect()),
            ratio: median(ratios.collect()),
            cpu: median(own.iter().map(|each| each.cpu).collect()),
        }
    };
    returns.iter().zip(&CASES).map(figures).collect()
}
