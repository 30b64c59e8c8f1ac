//! What is kept under a name is given to nodes that start later.

use std::time::Duration;

use futures_util::StreamExt as _;
use sse_core::{Engine, Fed, Keep, Publication};
use sse_nats::JetStream;
use tokio::time::{Instant, sleep};

use crate::{Node, PATIENCE, engine, key, server, streams};

pub(super) async fn keep(engine: &JetStream, name: &str, lifetime: Duration, record: &str) {
    let keep = Keep::new(name, lifetime);
    let publication = Publication::new(key(), record.to_owned()).keep(keep);
    assert!(engine.publish(publication).await.unwrap().is_new);
}

/// In order, those of the log repeated.
pub(super) fn kept(node: &Node) -> Vec<String> {
    let record = |fed: &Fed| match fed {
        Fed::Kept { record } => Some(String::from_utf8(record.to_vec()).unwrap()),
        _ => None,
    };
    let head = node.fed.iter().position(|fed| matches!(fed, Fed::Head { .. })).unwrap();
    assert!(node.fed[head..].iter().all(|fed| !matches!(fed, Fed::Kept { .. })), "before the first head");
    node.fed.iter().filter_map(record).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_outlives_the_log() {
    let Some(nats) = server().await else { return };
    let engine = JetStream::builder(&nats.url()).retention(Duration::from_secs(2)).connect().await.unwrap();
    let mut node = Node::start(&engine).await;
    let day = Duration::from_secs(24 * 3600);
    keep(&engine, "a", day, "a 1").await;
    keep(&engine, "b", day, "b").await;
    keep(&engine, "a", day, "a 2").await;
    keep(&engine, "short", Duration::from_millis(500), "short").await;
    node.until_head().await;
    assert_eq!(node.records().len(), 4, "they are records like any other");
    assert!(node.is_whole());

    // Until they have left the log.
    let streams = streams(nats.addr()).await;
    let mut log = streams.get_stream("sse-hub").await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while log.info().await.unwrap().state.messages > 0 {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(100)).await;
    }
    let late = Node::start(&engine).await;
    assert_eq!(kept(&late), ["b", "a 2"]);
    assert_eq!((late.begin().0.sequence(), late.records().len()), (4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_just_now_comes_to_whoever_starts() {
    let Some(nats) = server().await else { return };
    let publisher = engine(&nats).await;
    for round in 0..30 {
        let record = format!("round {round}");
        keep(&publisher, "name", Duration::from_secs(60), &record).await;
        let node = Node::start(&publisher).await;
        let kept = kept(&node);
        assert_eq!(kept.last(), Some(&record), "the latest last: {kept:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_there_after_a_restart() {
    let Some(mut nats) = server().await else { return };
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    keep(&engine, "before", Duration::from_secs(3600), "before").await;
    nats.kill();
    node.until_away().await;
    nats.restart().await;
    node.until_head().await;
    keep(&engine, "after", Duration::from_secs(3600), "after").await;
    let streams = streams(nats.addr()).await;
    let deadline = Instant::now() + PATIENCE;
    // The server copies them when it finds the time.
    let mut is_copied = false;
    while !is_copied {
        assert!(Instant::now() < deadline, "never copied");
        sleep(Duration::from_millis(100)).await;
        let names = streams.stream_names();
        let names: Vec<_> = futures_util::TryStreamExt::try_collect(names).await.unwrap();
        let name = names.iter().find(|name: &&String| name.starts_with("sse-hub-kept-")).unwrap();
        is_copied = streams.get_stream(name).await.unwrap().cached_info().state.messages == 2;
    }
    let mut late = kept(&Node::start(&engine).await);
    late.sort();
    late.dedup();
    assert_eq!(late, ["after", "before"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_kept_shorter_than_asked_is_refused() {
    let Some(nats) = server().await else { return };
    let engine = JetStream::builder(&nats.url()).keep_for(Duration::from_secs(60)).connect().await.unwrap();
    let keep = Keep::new("name", Duration::from_secs(61));
    let error = engine.publish(Publication::new(key(), "x").keep(keep)).await.unwrap_err();
    // It is of no use to try again, and nobody who signs out waits for it.
    assert!(!error.may_be_published() && error.is_final());
    for name in ["", "a.b", "*"] {
        let keep = Keep::new(name, Duration::from_secs(1));
        let error = engine.publish(Publication::new(key(), "x").keep(keep)).await.unwrap_err();
        assert!(!error.may_be_published() && error.is_final(), "{name:?}");
    }
    for key in ["", "a b", "a\nb", "ä"] {
        let error = engine.publish(Publication::new(key, "x")).await.unwrap_err();
        assert!(!error.may_be_published() && error.is_final(), "{key:?}");
    }
    let large = engine.publish(Publication::new(key(), vec![b'x'; 2 << 20])).await.unwrap_err();
    assert!(!large.may_be_published() && large.is_final());
    assert_eq!(Node::start(&engine).await.records().len(), 0);
}

/// As README.md has it, where a rolled back log is behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copy_is_made_anew_from_the_log() {
    let Some(nats) = server().await else { return };
    let first = engine(&nats).await;
    keep(&first, "person", Duration::from_secs(3600), "signed out").await;
    let streams = streams(nats.addr()).await;
    let name = kept_stream(&streams).await;
    streams.delete_stream(&name).await.unwrap();
    drop(first);
    let _again = engine(&nats).await;
    let mut stream = streams.get_stream(&name).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while stream.info().await.unwrap().state.messages < 1 {
        assert!(Instant::now() < deadline, "it is not copied");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn kept_stream(streams: &async_nats::jetstream::Context) -> String {
    let names: Vec<_> = streams.stream_names().collect().await;
    let mut names = names.into_iter().map(Result::unwrap);
    names.find(|name| name.starts_with("sse-hub-kept-")).unwrap()
}

/// Everybody who connects would push those out who were signed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_need_not_be_kept_takes_half_the_room() {
    let Some(nats) = server().await else { return };
    let engine = JetStream::builder(&nats.url()).max_kept_bytes(256 << 10).connect().await.unwrap();
    let mut node = Node::start(&engine).await;
    let streams = streams(nats.addr()).await;
    let mut stream = streams.get_stream(kept_stream(&streams).await).await.unwrap();
    let mut optional = 0;
    let mut keep_optional = async || {
        optional += 1;
        let keep = Keep::new(format!("session-{optional}"), Duration::from_secs(3600)).optional();
        engine.publish(Publication::new(key(), "session").keep(keep)).await.unwrap();
    };
    keep_optional().await;
    for number in 0..300 {
        keep(&engine, &format!("person-{number}"), Duration::from_secs(3600), &"x".repeat(300)).await;
    }
    let deadline = Instant::now() + PATIENCE;
    while stream.info().await.unwrap().state.last_sequence < 301 {
        assert!(Instant::now() < deadline, "the first of them is kept");
        sleep(Duration::from_millis(50)).await;
    }
    // It is looked at now and then.
    loop {
        let before = stream.info().await.unwrap().state.last_sequence;
        keep_optional().await;
        node.until_head().await;
        sleep(Duration::from_millis(500)).await;
        if stream.info().await.unwrap().state.last_sequence == before {
            break;
        }
        assert!(Instant::now() < deadline, "it is kept for ever");
    }
    let before = stream.info().await.unwrap().state.last_sequence;
    for _ in 0..500 {
        keep_optional().await;
    }
    keep(&engine, "the-last", Duration::from_secs(3600), "x").await;
    while stream.info().await.unwrap().state.last_sequence == before {
        assert!(Instant::now() < deadline, "what must be kept is");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stream.info().await.unwrap().state.last_sequence, before + 1);
    node.until_head().await;
    assert!(node.is_whole(), "all of it is published");
}
