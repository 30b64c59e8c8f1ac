//! Two nodes of an application, whose hubs share a log in Redis.

use std::time::Duration;

use futures_util::StreamExt as _;
use sse_core::{EventId, Hub, Start, Subscription};
use sse_tests::redis::Redis;
use tokio::time::timeout;

use crate::{PATIENCE, log, needs_redis};

async fn node(redis: &Redis) -> Hub {
    Hub::builder().engine(log(redis).await).build().await.unwrap()
}

async fn next(subscription: &mut Subscription) -> (String, EventId) {
    let event = timeout(PATIENCE, subscription.next()).await.expect("an event in time").expect("no end");
    assert!(!event.is_gap(), "a gap: {}", event.data());
    (event.data().into_owned(), event.id())
}

async fn published(hub: &Hub, data: &str) -> EventId {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match hub.publish("news", data).await {
            Ok(id) => return id,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_moves_between_nodes_misses_nothing_though_redis_is_restarted() {
    needs_redis!();
    let mut redis = Redis::start().await;
    let (one, other) = (node(&redis).await, node(&redis).await);
    let mut client = one.subscribe("news", Start::Now).unwrap();
    let a = published(&other, "a").await;
    assert_eq!(next(&mut client).await, ("a".into(), a));
    // It was with one and goes on with the other, which has more by now.
    drop(client);
    published(&one, "b").await;
    let mut client = other.subscribe("news", Start::After(a)).unwrap();
    let (b, id) = next(&mut client).await;
    assert_eq!(b, "b");
    redis.kill().await;
    let deadline = std::time::Instant::now() + PATIENCE;
    while one.away_for().is_none() || other.away_for().is_none() {
        assert!(std::time::Instant::now() < deadline, "nobody notices");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    redis.run().await;
    published(&one, "c").await;
    assert_eq!(next(&mut client).await.0, "c");
    // Also one that has an id of before, on a node that starts now.
    let late = node(&redis).await;
    let mut client = late.subscribe("news", Start::After(id)).unwrap();
    assert_eq!(next(&mut client).await.0, "c");
}

#[tokio::test]
async fn what_redis_has_lost_is_a_gap() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let hub = node(&redis).await;
    let mut client = hub.subscribe("news", Start::Now).unwrap();
    let a = published(&hub, "a").await;
    next(&mut client).await;
    redis.ask("FLUSHALL").await;
    let gap = timeout(PATIENCE, client.next()).await.unwrap().unwrap();
    assert!(gap.is_gap(), "{}", gap.data());
    let b = published(&hub, "b").await;
    assert_ne!(a.epoch(), b.epoch());
    assert_eq!(next(&mut client).await, ("b".into(), b));
}
