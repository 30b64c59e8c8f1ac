//! What a publisher is told.

use std::{collections::BTreeSet, sync::Arc, thread, time::Duration};

use sse_core::{Event, Hub, PublishError};
use sse_tests::engines::{Kind, Running};
use tokio::{runtime, task::spawn_blocking};

use super::{
    client::Client,
    node::{builder, in_time, node, with},
};

pub(crate) async fn one_of_300_wins_on_two_nodes(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let (a, b) = (node(&log).await, node(&log).await);
    let mut client = Client::new(&a, &["news"]).await;
    let mut won = BTreeSet::new();
    for n in 0..300 {
        let key = format!("order/{n}");
        let (first, second) =
            tokio::join!(a.publish_once(&key, "news", "of a"), b.publish_once(&key, "news", "of b"));
        let (first, second) = (first.expect("it is there"), second.expect("it is there"));
        assert_eq!(first.id, second.id, "{key}");
        assert!(first.is_new != second.is_new, "{key}: {first:?} {second:?}");
        won.insert(if first.is_new { "of a" } else { "of b" });
        let event = client.next().await;
        assert_eq!(event.last_event_id, first.id.to_string());
        assert_eq!(event.data, if first.is_new { "of a" } else { "of b" });
    }
    b.publish("news", "end").await.expect("it is there");
    assert_eq!(client.short().await, "end");
    println!("won: {won:?}");
}

pub(crate) async fn a_key_that_was_there_names_the_first(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await];
    let first = nodes[0].publish_once("a", "news", "first").await.expect("it is there");
    assert!(first.is_new);
    nodes[0].publish("news", "between").await.expect("it is there");
    for hub in &nodes {
        let again = hub.publish_once("a", "other", "second").await.expect("it is there");
        assert_eq!((again.id, again.is_new), (first.id, false));
    }
    // Also on a node that has started since, and for the longest of keys.
    let long = "!".repeat(128);
    let later = node(&log).await;
    assert!(later.publish_once(&long, "news", "third").await.expect("it is there").is_new);
    assert!(!nodes[0].publish_once(&long, "news", "third").await.expect("it is there").is_new);
    assert_eq!(later.publish_once("a", "news", "fourth").await.expect("it is there").id, first.id);
    assert_eq!(log.records().await.len(), 3);
}

pub(crate) async fn what_cannot_be_published_is_said(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let hub = with(builder().max_event_bytes(100), log.connect().await).await;
    for key in ["", "with space", "ä", "\n", &"x".repeat(129)] {
        assert_eq!(hub.publish_once(key, "news", "x").await, Err(PublishError::Key), "{key}");
    }
    assert_eq!(hub.publish_now("news", "x"), Err(PublishError::MustWait));
    let own = Event::new("x").id("1").expect("an id");
    assert_eq!(hub.publish("news", own).await, Err(PublishError::OwnId));
    let large = hub.publish("news", "x".repeat(101)).await;
    assert!(matches!(large, Err(PublishError::TooLarge { limit: 100, .. })), "{large:?}");
    let topic = hub.publish("a\nb", "x").await;
    assert!(matches!(topic, Err(PublishError::Topic(_))), "{topic:?}");
    assert_eq!(log.records().await.len(), 0);
}

pub(crate) async fn threads_may_wait(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let hub = node(&log).await;
    let mut client = Client::new(&hub, &["news"]).await;
    let plain = hub.clone();
    let plain = thread::spawn(move || plain.publish_blocking("news", "of a thread"));
    let id = spawn_blocking(move || plain.join().expect("no panic")).await.expect("no panic");
    assert_eq!(client.short().await, "of a thread");
    assert_eq!(client.id, Some(id.expect("it is there").to_string()));
    let pooled = hub.clone();
    let pooled = spawn_blocking(move || pooled.publish_blocking("news", "of the pool"));
    in_time("it is published", pooled).await.expect("no panic").expect("it is there");
    assert_eq!(client.short().await, "of the pool");
}

/// Of a runtime with one thread, that is; its pool is made for those who wait.
pub(crate) async fn the_only_thread_of_a_runtime_may_not(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let log = Arc::new(log);
    let inside = Arc::clone(&log);
    let thread = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let hub = with(builder(), inside.connect().await).await;
            assert_eq!(hub.publish_blocking("news", "x"), Err(PublishError::MustWait));
            let task = hub.clone();
            let task = tokio::spawn(async move { task.publish_blocking("news", "x") });
            assert_eq!(task.await.expect("no panic"), Err(PublishError::MustWait));
            let pooled = hub.clone();
            let pooled = spawn_blocking(move || pooled.publish_blocking("news", "of the pool"));
            in_time("it is published", pooled).await.expect("no panic").expect("it is there");
            let plain = hub.clone();
            let plain = thread::spawn(move || plain.publish_blocking("news", "of a thread"));
            while !plain.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            plain.join().expect("no panic").expect("it is there");
            other_runtime(&hub).await;
        });
    });
    spawn_blocking(move || thread.join()).await.expect("no panic").expect("no panic");
    assert_eq!(log.records().await.len(), 3);
}

/// A thread of another runtime holds up nobody but its own.
async fn other_runtime(hub: &Hub) {
    let hub = hub.clone();
    let other = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { hub.publish_blocking("news", "of another runtime") })
    });
    while !other.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    other.join().expect("no panic").expect("it is there");
}
