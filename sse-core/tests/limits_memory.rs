//! A crowd of addresses and of subjects comes and goes: what it took of the limits is given back.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test: a failure is a failed test")]

use std::{
    alloc::System,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use sse_core::{Auth, Hub, Identity, Lifecycle, Limits, Start};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

// By itself in its program: it counts what every thread allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CROWD: u32 = 100_000;

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_crowd_of_clients_leaves_nothing_behind() {
    let limits = Limits::builder()
        .max_streams_per_address(5)
        .max_streams_per_subject(5)
        .max_streams_per_topic(5)
        .max_connects_per_minute_by_address(60)
        .max_connects_per_minute_by_subject(60)
        .build();
    let hub = Hub::builder().lifecycle(&Lifecycle::builder().limits(&limits).build()).build();
    let auth = Auth::sessions().build().unwrap();
    let client = |n: u32| {
        let address = SocketAddr::from((Ipv4Addr::from_bits(n), 50_000));
        let head = http::Request::builder().extension(address).body(()).unwrap();
        auth.admit(&head, hub.lifecycle(), Identity::new(n.to_string()).every_topic()).unwrap()
    };
    let one = || drop(hub.open(&client(0), "news").unwrap());
    one();
    // What the hub itself remembers of topics is there before.
    drop((0..20_000).map(|n| hub.subscribe(format!("warm/{n}"), Start::Now).unwrap()).collect::<Vec<_>>());
    let region = Region::new(ALLOCATOR);
    let held = || {
        let change = region.change();
        change.bytes_allocated as isize - change.bytes_deallocated as isize
    };
    // Some of them at a time have their streams open: what the hub and authorisation hold of those is not the limits'.
    for some in 0..CROWD / 100 {
        let range = some * 100..(some + 1) * 100;
        drop(range.map(|n| hub.open(&client(n), n.to_string()).unwrap()).collect::<Vec<_>>());
    }
    let full = held();
    let text = format!("{limits:?}");
    assert!(full > 5_000_000, "{full} bytes for {CROWD}: {text}");
    tokio::time::advance(Duration::from_secs(120)).await;
    one();
    let left = held();
    assert!(left < 100_000, "{left} of {full} bytes are left: {limits:?}");
    assert_eq!(limits.streams(), 0);
}
