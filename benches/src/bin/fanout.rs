//! What a delivered event costs: ours beside the framework's bare body, its own events and a bare epoll loop.
//!
//! All servers run at once on core 0 and are driven by turns, a slice each, so that what slows the machine
//! down slows all of them down. `fanout [--clients 1000] [--rounds 20] [--slice-ms 100] [--runs 3] [--only a,b]`
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::{collections::HashMap, time::Duration};

use sse_benches::{
    Args, Contender, Report, SERVERS, Slice, by_turns, framework, median, percentile, pin, programs, spread,
};

fn main() {
    let args = Args::new();
    let clients = args.number("--clients", 1000);
    let rounds = args.number("--rounds", 20);
    let slice = Duration::from_millis(args.number("--slice-ms", 100) as u64);
    let runs = args.number("--runs", 3);
    let programs = programs();
    pin(1);

    let names = args.servers(&SERVERS);
    // Of every run, for each mode, one figure per server.
    let mut all: Vec<[Vec<Figures>; 2]> = Vec::new();
    let mut latencies: Vec<Vec<[f64; 2]>> = Vec::new();
    for run in 0..runs {
        eprintln!("run {} of {runs}", run + 1);
        let mut contenders: Vec<Contender> =
            names.iter().map(|name| Contender::start(&programs, name, clients)).collect();
        all.push([1, 16].map(|window| compare(&mut contenders, window, rounds, slice)));
        latencies.push(contenders.iter_mut().map(latency).collect());
    }

    let mut report = Report::new("Fan-out");
    report.text(&format!(
        "{clients} clients on each server, {rounds} rounds of {} ms slices by turns, {runs} runs; medians of the \
         runs. Ratios are of CPU time of the server process per delivered event.\n",
        slice.as_millis()
    ));
    for (mode, title) in ["One event at a time", "Up to 16 events under way"].iter().enumerate() {
        report.text(&format!("## {title}\n"));
        let rows: Vec<Vec<String>> = (0..names.len())
            .map(|server| {
                let of = |figure: fn(&Figures) -> f64| -> f64 {
                    median(all.iter().map(|run| figure(&run[mode][server])).collect())
                };
                let ratio = |to: &str| -> String {
                    let values: Vec<f64> =
                        all.iter().filter_map(|run| run[mode][server].ratios.get(to).copied()).collect();
                    if values.is_empty() {
                        return "–".to_owned();
                    }
                    spread(values, 3)
                };
                let framework = framework(names[server]);
                vec![
                    names[server].to_owned(),
                    ratio(&format!("{framework}-floor")),
                    ratio(&format!("{framework}-own")),
                    ratio("epoll"),
                    format!("{:.2}", of(|f| f.micros)),
                    format!("{:.0}", of(|f| f.per_second)),
                    format!("{:.3}", of(|f| f.reads)),
                ]
            })
            .collect();
        report.table(
            &["server", "× floor", "× own SSE", "× epoll", "CPU µs an event", "events/s", "reads an event"],
            &rows,
        );
    }
    report.text("## Latency at 10 events/s, ms\n");
    let rows: Vec<Vec<String>> = (0..names.len())
        .map(|server| {
            let of = |index: usize| median(latencies.iter().map(|run| run[server][index]).collect());
            vec![names[server].to_owned(), format!("{:.2}", of(0)), format!("{:.2}", of(1))]
        })
        .collect();
    report.table(&["server", "p50", "p99"], &rows);
    report.finish("fanout");
}

/// What a server showed in one run.
struct Figures {
    micros: f64,
    per_second: f64,
    reads: f64,
    /// Medians over the rounds, against every other server.
    ratios: HashMap<String, f64>,
}

fn compare(contenders: &mut [Contender], window: usize, rounds: usize, slice: Duration) -> Vec<Figures> {
    let slices = by_turns(contenders, rounds, |fan| fan.drive(window, slice));
    slices
        .iter()
        .map(|own| {
            let of = |figure: fn(&Slice) -> f64| median(own.iter().map(figure).collect());
            let ratios = contenders.iter().zip(&slices).map(|(other, others)| {
                let each = own.iter().zip(others).map(|(a, b)| a.micros / b.micros);
                (other.name.clone(), median(each.collect()))
            });
            Figures {
                micros: of(|s| s.micros),
                per_second: of(|s| s.per_second),
                reads: of(|s| s.reads),
                ratios: ratios.collect(),
            }
        })
        .collect()
}

/// p50 and p99 of a delivery, in ms, at ten events a second.
fn latency(contender: &mut Contender) -> [f64; 2] {
    contender.fan.latencies = Some(Vec::new());
    contender.fan.pace(Duration::from_millis(100), 20);
    let latencies = contender.fan.take_latencies();
    [50, 99].map(|percent| percentile(latencies.clone(), percent))
}
