//! What a delivered event may cost, in things that can be counted: allocations, and the size of what there is
//! one of for every subscriber.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test: a failure is a failed test")]

mod get;

use std::{alloc::System, cell::Cell, future::poll_fn, mem::size_of, rc::Rc};

use sse_core::{EventStream, Hub, Request, StreamObserver, Subscription};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::task::{LocalSet, yield_now};

use get::get;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SUBSCRIBERS: usize = 200;

/// Somebody who is told of streams.
struct Observer;

impl StreamObserver for Observer {}

/// Publishes `rounds` times so many events at once to all subscribers; the allocations for each that is
/// delivered, publishing included.
async fn allocations(rounds: usize, at_once: usize, is_observed: bool) -> f64 {
    let hub = Hub::new();
    if is_observed {
        hub.lifecycle().observe(Observer);
    }
    let got = Rc::new(Cell::new(0));
    for _ in 0..SUBSCRIBERS {
        let mut stream = Box::pin(hub.open(&Request::new(&get(), hub.lifecycle()), "news").unwrap());
        let got = Rc::clone(&got);
        tokio::task::spawn_local(async move {
            while let Some(chunk) = poll_fn(|cx| stream.as_mut().poll_chunk(cx, 4096)).await {
                let events = chunk.windows(7).filter(|window| window == b"data: x").count();
                got.set(got.get() + events);
            }
        });
    }
    let publish = async |rounds: usize| {
        for _ in 0..rounds {
            let expected = got.get() + at_once * SUBSCRIBERS;
            for _ in 0..at_once {
                hub.publish("news", "x").await.unwrap();
            }
            while got.get() < expected {
                yield_now().await;
            }
        }
    };
    // The log's and the queues' first growth is paid once.
    publish(8).await;
    let region = Region::new(ALLOCATOR);
    publish(rounds).await;
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / (rounds * at_once * SUBSCRIBERS) as f64
}

#[tokio::test(flavor = "current_thread")]
async fn delivering_allocates_nothing() {
    LocalSet::new()
        .run_until(async {
            // With the feature `metrics`, counted too.
            for is_observed in [false, true] {
                let single = allocations(50, 1, is_observed).await;
                assert!(single < 0.06, "{single} allocations for a delivered event");
                // A crowd that is behind shares what it has missed.
                let behind = allocations(50, 16, is_observed).await;
                assert!(behind < 0.06, "{behind} allocations for a delivered event, 16 at once");
            }
        })
        .await;
}

#[test]
fn subscribers_are_small() {
    let stream = size_of::<EventStream<Subscription>>();
    assert!(stream <= 240, "a stream of a subscription has {stream} bytes");
}
