//! What a delivered event costs: ours beside the framework's bare body, its own events and a bare epoll loop.
//!
//! All servers run at once on core 0 and are driven by turns, a slice each, so that what slows the machine
//! down slows all of them down. `fanout [--clients 1000] [--rounds 20] [--slice-ms 100] [--runs 3] [--only a,b]`
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::{collections::HashMap, time::Duration};

use sse_benches::{Args, Fan, Process, Report, SERVERS, framework, median, pin, programs};

struct Contender {
    name: String,
    process: Process,
    fan: Fan,
}

#[derive(Clone, Copy)]
struct Slice {
    cpu: f64,
    events: f64,
    reads: f64,
    seconds: f64,
}

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
        let mut contenders: Vec<Contender> = names
            .iter()
            .map(|name| {
                let process = Process::start(&programs, name);
                let mut fan = Fan::new(process.addr);
                fan.subscribe(clients, 64);
                Contender { name: (*name).to_owned(), process, fan }
            })
            .collect();
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
                    let low = values.iter().copied().fold(f64::MAX, f64::min);
                    let high = values.iter().copied().fold(0.0, f64::max);
                    format!("{:.3} ({low:.3}–{high:.3})", median(values))
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
    let mut slices: Vec<Vec<Slice>> = vec![Vec::new(); contenders.len()];
    // The first round warms up.
    for round in 0..=rounds {
        for (contender, slices) in contenders.iter_mut().zip(&mut slices) {
            let (cpu, reads) = (contender.process.cpu(), contender.fan.reads);
            let start = std::time::Instant::now();
            let events = contender.fan.drive(window, slice);
            let taken = Slice {
                seconds: start.elapsed().as_secs_f64(),
                cpu: (contender.process.cpu() - cpu).as_secs_f64() * 1e6,
                events: events as f64,
                reads: (contender.fan.reads - reads) as f64,
            };
            if round > 0 {
                slices.push(taken);
            }
        }
    }
    slices
        .iter()
        .map(|own| {
            let of = |figure: fn(&Slice) -> f64| median(own.iter().map(figure).collect());
            let ratios = contenders.iter().zip(&slices).map(|(other, others)| {
                let each = own.iter().zip(others).map(|(a, b)| (a.cpu / a.events) / (b.cpu / b.events));
                (other.name.clone(), median(each.collect()))
            });
            Figures {
                micros: of(|s| s.cpu / s.events),
                per_second: of(|s| s.events / s.seconds),
                reads: of(|s| s.reads / s.events),
                ratios: ratios.collect(),
            }
        })
        .collect()
}

/// p50 and p99 of a delivery, in ms, at ten events a second.
fn latency(contender: &mut Contender) -> [f64; 2] {
    contender.fan.latencies = Some(Vec::new());
    contender.fan.pace(Duration::from_millis(100), 20);
    let mut latencies = contender.fan.latencies.take().unwrap_or_default();
    latencies.sort();
    [50, 99].map(|percent| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3)
}
