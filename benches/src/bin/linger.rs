//! What merging events saves and costs: a hub with `linger` beside one without, on each framework.
//!
//! All servers run at once and are driven by turns, each at an even rate.
//! `linger [--clients 200] [--rate 500] [--linger-ms 5] [--rounds 5] [--slice-ms 2000] [--runs 3] [--only a,b]`
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::{path::Path, time::Duration};

use sse_benches::{Args, Contender, Report, Slice, by_turns, median, percentile, pin, programs, spread};

const SERVERS: [&str; 3] = ["linger-actix", "linger-warp", "linger-rocket"];

struct Load {
    clients: usize,
    rate: usize,
    rounds: usize,
    slice: Duration,
}

/// What a server showed in one run.
struct Figures {
    micros: f64,
    /// Of CPU time of an event, to that of the same server without.
    ratio: f64,
    reads: f64,
    p50: f64,
    p99: f64,
}

fn main() {
    let args = Args::new();
    let load = Load {
        clients: args.number("--clients", 200),
        rate: args.number("--rate", 500),
        rounds: args.number("--rounds", 5),
        slice: Duration::from_millis(args.number("--slice-ms", 2000) as u64),
    };
    let linger = args.number("--linger-ms", 5);
    let runs = args.number("--runs", 3);
    let programs = programs();
    pin(1);

    let servers = args.servers(&SERVERS);
    // One without stands before each one with.
    let names: Vec<String> =
        servers.iter().flat_map(|name| [0, linger].map(|ms| format!("{name} {ms}"))).collect();
    let all: Vec<Vec<Figures>> = (0..runs).map(|_| run(&programs, &names, &load)).collect();

    let mut report = Report::new("Lingering");
    report.text(&format!(
        "{} clients on each server, {} events/s at even distances; {} rounds of {} ms slices by turns, {runs} runs; \
         medians of the runs. CPU time of the server process per delivered event; the latencies are of all \
         deliveries of a run.\n",
        load.clients,
        load.rate,
        load.rounds,
        load.slice.as_millis()
    ));
    report.table(
        &["server", "linger ms", "× without", "CPU µs an event", "reads an event", "p50 ms", "p99 ms"],
        &names.iter().enumerate().map(|(server, name)| row(name, server, &all)).collect::<Vec<_>>(),
    );
    report.finish("linger");
}

fn row(name: &str, server: usize, all: &[Vec<Figures>]) -> Vec<String> {
    let each = |figure: fn(&Figures) -> f64| all.iter().map(|run| figure(&run[server])).collect();
    let of = |figure| median(each(figure));
    let (name, ms) = name.split_once(' ').unwrap_or_default();
    vec![
        name.to_owned(),
        ms.to_owned(),
        spread(each(|f| f.ratio), 3),
        format!("{:.2}", of(|f| f.micros)),
        format!("{:.3}", of(|f| f.reads)),
        format!("{:.2}", of(|f| f.p50)),
        format!("{:.2}", of(|f| f.p99)),
    ]
}

fn run(programs: &Path, names: &[String], load: &Load) -> Vec<Figures> {
    let mut contenders: Vec<Contender> =
        names.iter().map(|name| Contender::start(programs, name, load.clients)).collect();
    for contender in &mut contenders {
        contender.fan.latencies = Some(Vec::new());
    }
    let interval = Duration::from_secs(1) / load.rate as u32;
    let events = (load.slice.as_secs_f64() * load.rate as f64) as usize;
    let slices = by_turns(&mut contenders, load.rounds, |fan| fan.pace(interval, events));
    contenders.iter_mut().enumerate().map(|(at, contender)| figures(contender, &slices, at)).collect()
}

fn figures(contender: &mut Contender, slices: &[Vec<Slice>], at: usize) -> Figures {
    let (own, without) = (&slices[at], &slices[at / 2 * 2]);
    let of = |figure: fn(&Slice) -> f64| median(own.iter().map(figure).collect());
    let latencies = contender.fan.take_latencies();
    Figures {
        micros: of(|s| s.micros),
        ratio: median(own.iter().zip(without).map(|(own, without)| own.micros / without.micros).collect()),
        reads: of(|s| s.reads),
        p50: percentile(latencies.clone(), 50),
        p99: percentile(latencies, 99),
    }
}
