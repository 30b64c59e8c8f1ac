//! Real threads against an independent oracle: publishers in tasks and threads, hundreds of clients that read, rest,
//! are cut at any byte and come back, on hubs of every kind, in memory and over the sockets of each framework.
//!
//! Each client gets every event of its topics once and in order, or a gap that names what is missing; ids never go
//! back; no gap is told where nothing was lost; latest values arrive and never go back in time; whoever is owed
//! something is woken; what was published before the server stopped is sent.
//!
//! `SSE_STRESS_SECONDS` says for how long (default 60 in all), `SSE_STRESS_SEED` with which seed to begin. A seed
//! gives the same hubs and the same crowd, not the same turns of the threads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test: a failure is a failed test"
)]

mod client;
mod door;
mod judge;
mod parser;
mod published;
mod publisher;
mod quiet;
mod record;
mod run;
mod setup;
mod status;
mod temper;
mod topics;

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use judge::Figures;
use sse_tests::servers::Framework;

/// One at a time: two would only make each other slow.
static TURN: Mutex<()> = Mutex::new(());

/// Runs of a part of the time, one seed after the other.
fn stress(framework: Option<Framework>, share: f64) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seconds = number("SSE_STRESS_SECONDS").unwrap_or(60);
    let first = number("SSE_STRESS_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let place = framework.map_or("memory", Framework::name);
    let (begun, time) = (Instant::now(), Duration::from_secs(seconds).mul_f64(share));
    let (mut figures, mut runs) = (Figures::default(), 0);
    while runs == 0 || begun.elapsed() < time {
        let seed = first.wrapping_add(runs);
        match run::run(seed, framework) {
            Ok(more) => figures += more,
            Err(what) => panic!("SSE_STRESS_SEED={seed} ({place}, after {:?}): {what}", begun.elapsed()),
        }
        runs += 1;
    }
    println!("{place}: {runs} runs from seed {first} in {:?}: {figures:?}", begun.elapsed());
}

#[test]
fn in_memory() {
    stress(None, 0.55);
}

#[test]
fn on_actix() {
    stress(Some(Framework::Actix), 0.15);
}

#[test]
fn on_rocket() {
    stress(Some(Framework::Rocket), 0.15);
}

#[test]
fn on_warp() {
    stress(Some(Framework::Warp), 0.15);
}
