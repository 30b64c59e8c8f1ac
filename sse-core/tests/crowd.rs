//! A crowd of topics comes and goes: what it took is given back.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test: a failure is a failed test")]

use std::{alloc::System, time::Duration};

use sse_core::{Hub, Start};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

// By itself in its program: it counts what every thread allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CROWD: usize = 100_000;

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_crowd_of_topics_leaves_little_behind() {
    let age = Duration::from_secs(60);
    let hub = Hub::builder().max_events(CROWD).max_bytes(1 << 30).max_age(age).build();
    let keeper = hub.subscribe("kept", Start::Now).unwrap();
    let region = Region::new(ALLOCATOR);
    let held = || {
        let change = region.change();
        change.bytes_allocated as isize - change.bytes_deallocated as isize
    };
    for n in 0..CROWD {
        hub.publish(format!("topic/{n}"), "x").await.unwrap();
    }
    let subscribers: Vec<_> =
        (0..CROWD / 4).map(|n| hub.subscribe(format!("own/{n}"), Start::Now).unwrap()).collect();
    // The newest of the crowd stays, at the far end of what has grown.
    let last = hub.subscribe(format!("topic/{}", CROWD - 1), Start::Now).unwrap();
    let full = held();
    assert!(full > CROWD as isize * 300, "{full} bytes for {CROWD} topics");
    drop(subscribers);
    tokio::time::advance(age).await;
    // Each frees a few that have expired, and expires in turn; the topics without events go at last, but for
    // those that a hub remembers.
    for _ in 0..CROWD / 50 {
        hub.publish("news", "x").await.unwrap();
    }
    tokio::time::advance(age).await;
    for _ in 0..100 {
        hub.publish("news", "x").await.unwrap();
    }
    assert!(hub.stats().events <= 200, "{:?}", hub.stats());
    let left = held();
    assert!(left < full / 6, "{left} of {full} bytes are left: {:?}", hub.stats());
    drop((keeper, last));
}
