//! Streams that come and go in many threads while their server stops: nothing is left of them, whoever observes them is
//! told of each once, from its opening to its end, and nobody is still there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_core::Stream;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sse_core::{EndReason, OpenStream, Presence, StreamObserver};
use tokio::runtime::Handle;

use super::*;

/// Counts what it is told of each stream.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<HashMap<u64, (usize, usize)>>>);

impl StreamObserver for Told {
    fn opened(&self, stream: &OpenStream) {
        let mut told = self.0.lock().unwrap();
        let counts = told.entry(stream.number()).or_default();
        assert_eq!(*counts, (0, 0), "it opens once, and first");
        counts.0 += 1;
    }

    fn ended(&self, stream: &OpenStream, _: EndReason) {
        let mut told = self.0.lock().unwrap();
        let counts = told.get_mut(&stream.number()).unwrap();
        assert_eq!(*counts, (1, 0), "it ends once");
        counts.1 += 1;
    }
}

/// Stops the server from within what it is told of.
struct Stops(Lifecycle, u64, Mutex<u64>);

impl StreamObserver for Stops {
    fn opened(&self, _: &OpenStream) {
        let mut seen = self.2.lock().unwrap();
        *seen += 1;
        let is_time = *seen == self.1;
        drop(seen);
        if is_time {
            self.0.stop();
        }
    }
}

#[test]
fn streams_that_come_and_go_while_the_server_stops_leave_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Most of the time of each is a second in which nothing happens.
    thread::scope(|scope| {
        for round in 0..24 {
            let runtime = runtime.handle();
            scope.spawn(move || a_server_stops(round, runtime));
        }
    });
}

fn a_server_stops(round: u64, runtime: &Handle) {
    const THREADS: u64 = 4;
    let mut rng = StdRng::seed_from_u64(round);
    let window = Duration::from_millis([0, 0, 20][rng.random_range(0..3)]);
    let notice = Duration::from_millis([0, 0, 10][rng.random_range(0..3)]);
    let limits = Limits::builder().max_streams(20).max_streams_per_topic(15).build();
    let lifecycle = Lifecycle::builder().window(window).notice(notice).limits(&limits).build();
    let hub = Hub::builder().lifecycle(&lifecycle).build();
    let presence = Presence::builder().announce("news").build(&hub);
    let told = Told::default();
    lifecycle.observe(told.clone());
    let from_within = rng.random_bool(0.3);
    if from_within {
        lifecycle.observe(Stops(lifecycle.clone(), rng.random_range(1..100), Mutex::default()));
    }
    let (at_once, after) = (rng.random_bool(0.3), Duration::from_micros(rng.random_range(0..10_000)));
    let unread = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (hub, unread) = (&hub, &unread);
            scope.spawn(move || {
                let _entered = runtime.enter();
                let mut rng = StdRng::seed_from_u64(round * THREADS + thread);
                let mut held = Vec::new();
                for n in 0.. {
                    match open_as(hub, "ada") {
                        Ok(stream) => held.push(stream),
                        Err(_) if hub.lifecycle().is_stopping() => break,
                        Err(refusal) => assert_eq!(refusal.status(), 503),
                    }
                    if n % 7 == 0 {
                        hub.publish_now("news", "x").unwrap();
                    }
                    if held.is_empty() {
                        continue;
                    }
                    let at = rng.random_range(0..held.len());
                    match rng.random_range(0..4) {
                        0 | 1 => drop(held.swap_remove(at)),
                        _ => {
                            let mut cx = Context::from_waker(Waker::noop());
                            let _ = held[at].as_mut().poll_next(&mut cx);
                        }
                    }
                }
                unread.lock().unwrap().append(&mut held);
            });
        }
        if !from_within {
            let _entered = runtime.enter();
            thread::sleep(after);
            if at_once { lifecycle.stop_at_once() } else { lifecycle.stop() }
        }
    });
    let start = Instant::now();
    // Nobody reads those that are left.
    while (limits.streams(), lifecycle.streams(), hub.stats().subscribers) != (0, 0, 0) {
        assert!(start.elapsed() < Duration::from_secs(20), "{round}: {limits:?} {lifecycle:?}");
        thread::sleep(Duration::from_millis(5));
    }
    // Whoever frees tells of it right afterwards.
    while told.0.lock().unwrap().values().any(|counts| *counts != (1, 1)) || presence.count("news") > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "{round}: {presence:?}");
        thread::sleep(Duration::from_millis(5));
    }
    drop(unread);
    assert_eq!((limits.streams(), lifecycle.streams(), presence.count("news")), (0, 0, 0));
}
