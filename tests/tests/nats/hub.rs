//! Hubs of several nodes on one server: a client may come back to any of them.

use std::time::Duration;

use futures_util::StreamExt;
use sse_core::{Hub, Start, Subscription};
use sse_tests::nats::Nats;
use tokio::time::timeout;

use crate::{PATIENCE, engine, server};

async fn node(nats: &Nats) -> Hub {
    Hub::builder().engine(engine(nats).await).build().await.unwrap()
}

/// The next events: what a client is sent, with the position that it has then.
pub(crate) async fn read(events: &mut Subscription, count: usize) -> Vec<String> {
    let mut read = Vec::new();
    while read.len() < count {
        let event = timeout(PATIENCE, events.next()).await.expect("an event in time").expect("it goes on");
        read.push(format!("{} {}", event.name().unwrap_or_default(), event.data()));
    }
    read
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!(" {number}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_goes_from_node_to_node() {
    let Some(mut nats) = server().await else { return };
    let (one, other) = (node(&nats).await, node(&nats).await);
    let start = one.position();
    assert_eq!(start, other.position());
    let mut live = one.subscribe("news", Start::Now).unwrap();
    let mut ids = Vec::new();
    for number in 0..40 {
        let by = if number % 2 == 0 { &one } else { &other };
        ids.push(by.publish("news", number.to_string()).await.unwrap());
        other.publish("noise", "x").await.unwrap();
    }
    assert_eq!(read(&mut live, 40).await, numbers(0..40));

    // Goes to the other, with the id of any event.
    let mut resumed = other.subscribe("news", Start::After(ids[19])).unwrap();
    assert_eq!(read(&mut resumed, 20).await, numbers(20..40));
    // And to one that starts later.
    let late = node(&nats).await;
    let mut resumed = late.subscribe("news", Start::After(start)).unwrap();
    assert_eq!(read(&mut resumed, 40).await, numbers(0..40));

    // The server is killed, and comes back with what it had.
    nats.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    nats.restart().await;
    for number in 40..60 {
        let key = format!("number-{number}");
        while one.publish_once(&key, "news", number.to_string()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(read(&mut live, 20).await, numbers(40..60), "who stayed has missed nothing");
    for hub in [&one, &other, &late] {
        let mut resumed = hub.subscribe("news", Start::After(ids[39])).unwrap();
        assert_eq!(read(&mut resumed, 20).await, numbers(40..60), "nor has who comes back");
    }
    let mut resumed = node(&nats).await.subscribe("news", Start::After(ids[9])).unwrap();
    assert_eq!(read(&mut resumed, 50).await, numbers(10..60));
}
