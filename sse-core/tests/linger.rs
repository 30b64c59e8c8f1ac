//! A hub that lingers: the first event at once, those that follow in one piece.
#![allow(clippy::unwrap_used, reason = "a test: a failure is a failed test")]

mod get;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use sse_core::{EventStream, Hub, Request, Subscription};
use tokio::time::{Instant, sleep};

use get::get;

/// When a client was sent how many events.
type Log = Arc<Mutex<Vec<(Instant, usize)>>>;

async fn follow(mut stream: Pin<Box<EventStream<Subscription>>>, log: Log) {
    while let Some(chunk) = poll_fn(|cx| stream.as_mut().poll_chunk(cx, 4096)).await {
        let events = String::from_utf8_lossy(&chunk).matches("data: x").count();
        log.lock().unwrap().push((Instant::now(), events));
    }
}

/// Publishes an event every 10 ms to two clients; what each was sent, as `(ms, events)`.
async fn sent(hub: Hub, events: usize) -> Vec<(u128, usize)> {
    let logs = [Log::default(), Log::default()];
    for log in &logs {
        let stream = Box::pin(hub.open(&Request::new(&get(), hub.lifecycle()), "news").unwrap());
        tokio::spawn(follow(stream, Arc::clone(log)));
    }
    sleep(Duration::from_millis(500)).await;
    logs.iter().for_each(|log| log.lock().unwrap().clear());
    let start = Instant::now();
    for _ in 0..events {
        hub.publish("news", "x").await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(500)).await;
    let [one, two] = logs.map(|log| {
        log.lock().unwrap().iter().map(|(at, n)| ((*at - start).as_millis(), *n)).collect::<Vec<_>>()
    });
    assert_eq!(one, two);
    one
}

#[tokio::test(start_paused = true)]
async fn the_first_event_goes_at_once_and_followers_go_together() {
    let hub = || Hub::builder().linger(Duration::from_millis(45)).build();
    assert_eq!(sent(hub(), 1).await, [(0, 1)]);
    // The clock of a paused test moves by whole milliseconds.
    let chunks = sent(hub(), 10).await;
    assert!(matches!(chunks[..], [(0, 1), (45..=47, 4), (90..=94, 5)]), "{chunks:?}");
}

#[tokio::test(start_paused = true)]
async fn without_it_nothing_waits() {
    let chunks = sent(Hub::new(), 5).await;
    assert_eq!(chunks.len(), 5);
    assert!(
        chunks.iter().enumerate().all(|(n, (at, _))| at.abs_diff(n as u128 * 10) <= n as u128 + 1),
        "{chunks:?}"
    );
}
