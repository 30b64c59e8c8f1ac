//! What a server goes through in production, measured: crowds, killed, frozen and vanished clients, churn, a drain, a
//! rolling restart. `production [--short] [--only <names>]`
//!
//! `--only idle,drain,warp` runs these scenarios on this framework. What was measured takes the place of the same
//! figures in `results/production.md`, whose others stay. `--short` is a small form of the cheap ones, which writes
//! nothing and fails where something that is counted, not timed, is not as it must be; it may run in a debug build.
//!
//! With the features `jemalloc` or `mimalloc` all of it allocates with those. Then, and where the environment has
//! `GLIBC_TUNABLES`, the table is printed alone: what is kept is of the system's allocator as it is.
//!
//! Each server and each crowd is a process of its own, and this program in another part: `serve`, `crowd`, `topics`
//! and `inside` are its own words. All of it stays on loopback, or in network namespaces of its own (as root), and ends
//! with it. It needs 20,000 open files, and two cores for figures that mean something.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark may fail where it stands"
)]

mod allocator;
mod balancer;
mod crowd;
mod figure;
mod plot;
mod processes;
mod publisher;
mod results;
mod scenarios;
mod server;

use std::{panic::AssertUnwindSafe, time::Instant};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use sse_benches::Args;

use crate::{
    figure::Figure,
    results::Results,
    scenarios::{SCENARIOS, Scale},
};

/// In the order of the table's columns.
pub(crate) const FRAMEWORKS: [&str; 3] = ["actix", "rocket", "warp"];

/// Where a scenario stands that is about no framework.
const NONE: &str = "–";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("serve") => server::run(&args[1]),
        Some("crowd") => crowd::run(&args[1..]),
        Some("topics") => scenarios::topics::come_and_go(&args[1]),
        Some("inside") => on_one_thread(scenarios::vanished::inside(&args[1])),
        _ => on_one_thread(measure(&Args::new(), args.iter().any(|arg| arg == "--short"))),
    }
}

fn on_one_thread<F: Future>(what: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(what)
}

async fn measure(args: &Args, short: bool) {
    let only: Vec<&str> = args.value("--only").map(|names| names.split(',').collect()).unwrap_or_default();
    let known =
        |name: &&str| FRAMEWORKS.contains(name) || SCENARIOS.iter().any(|scenario| scenario.name == *name);
    assert!(
        only.iter().all(known),
        "--only takes of {FRAMEWORKS:?} and {:?}",
        SCENARIOS.map(|scenario| scenario.name)
    );
    let wanted =
        |name: &str, all: &[&str]| only.contains(&name) || !all.iter().any(|name| only.contains(name));
    let names = SCENARIOS.map(|scenario| scenario.name);

    let is_kept = !short && allocator::is_as_it_is();
    let mut results = if is_kept { Results::kept() } else { Results::default() };
    let scale = if short { Scale::Short } else { Scale::Full };
    let mut failed = Vec::new();
    for scenario in
        SCENARIOS.iter().filter(|scenario| wanted(scenario.name, &names) && (scenario.is_cheap || !short))
    {
        let frameworks: Vec<&str> = if scenario.by_framework {
            FRAMEWORKS.into_iter().filter(|framework| wanted(framework, &FRAMEWORKS)).collect()
        } else {
            vec![NONE]
        };
        // Nothing is timed in the short form, so that all may run at once.
        let at_once = if short { FRAMEWORKS.len() } else { 1 };
        let runs = frameworks.into_iter().map(|framework| async move {
            let start = Instant::now();
            // One that breaks down does not take the others with it; its processes end with it.
            let ran = AssertUnwindSafe(scenario.run(scale, framework)).catch_unwind().await;
            eprintln!("{} on {framework}: {:.0} s", scenario.name, start.elapsed().as_secs_f64());
            (framework, ran.unwrap_or_else(|_| Err("it broke down, see above".to_owned())))
        });
        let mut runs = stream::iter(runs).buffered(at_once);
        while let Some((framework, ran)) = runs.next().await {
            match ran {
                Ok(figures) => results.put(scenario.name, framework, figures),
                Err(why) => {
                    eprintln!("left out: {} on {framework}: {why}", scenario.name);
                    results.put(scenario.name, framework, vec![Figure::seen("left out", why.clone())]);
                    failed.push(format!("{} on {framework}: {why}", scenario.name));
                }
            }
            if is_kept {
                results.write();
            }
        }
    }
    if !is_kept {
        print!("{}", results.report());
    }
    if short {
        failed.extend(results.broken());
    }
    if !failed.is_empty() {
        eprintln!("not as it must be:\n{}", failed.join("\n"));
        std::process::exit(1);
    }
}
