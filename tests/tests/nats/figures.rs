//! How fast it is, on this machine: `cargo test --release -p sse-tests --test nats figures -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use sse_core::{Engine, Fed, Publication};

use crate::{Node, engine, key, publish, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures() {
    let Some(nats) = server().await else { return };
    let engine = engine(&nats).await;
    let text = "x".repeat(300);
    let start = Instant::now();
    for _ in 0..2_000 {
        publish(&engine, &text).await.unwrap();
    }
    println!("one after the other: {:.0} a second", 2_000.0 / start.elapsed().as_secs_f64());
    for at_once in [16, 64, 256] {
        let start = Instant::now();
        let (engine, text) = (&engine, &text);
        let published = stream::iter(0..20_000).map(|_| async move { publish(engine, text).await.unwrap() });
        published.buffer_unordered(at_once).count().await;
        println!("{at_once} at once: {:.0} a second", 20_000.0 / start.elapsed().as_secs_f64());
    }
    let start = Instant::now();
    let mut node = Node::start(&engine).await;
    println!("{} records read in {:?}", node.records().len(), start.elapsed());

    let (mut times, mut acks) = (Vec::new(), Vec::new());
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let start = Instant::now();
        let publication = Publication::new(key(), text.clone());
        let published = engine.publish(publication);
        let record = node.until("record", |fed| matches!(fed, Fed::Record { .. }));
        let acked = async {
            published.await.unwrap();
            start.elapsed()
        };
        let given = async {
            record.await;
            start.elapsed()
        };
        let (ack, given) = tokio::join!(acked, given);
        acks.push(ack);
        times.push(given);
    }
    for (what, mut times) in [("publish", acks), ("publish to tail", times)] {
        times.sort();
        println!("{what}: p50 {:?}, p99 {:?}", times[500], times[990]);
    }
}
