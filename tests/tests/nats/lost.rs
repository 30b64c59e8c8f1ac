//! Something is lost on the server: it is told, by a hole or a new epoch, and no position means two records.

use std::{collections::BTreeSet, time::Duration};

use async_nats::jetstream::stream::Stream;
use sse_core::{Engine, EventId, Fed, Past, Publication};
use sse_nats::JetStream;
use sse_tests::nats::Nats;

use crate::{Node, brief, engine, kept::keep, key, publish, publish_surely, records, seams, server, streams};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_empty() {
    let Some(mut nats) = server().await else { return };
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    for number in 0..20 {
        publish(&engine, &format!("old {number}")).await.unwrap();
    }
    node.until_head().await;
    nats.kill();
    nats.replace_store(None);
    nats.restart().await;
    for number in 0..5 {
        publish_surely(&engine, &format!("new {number}")).await;
    }
    node.until_head().await;
    is_made_anew(&node, &engine, 20, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_and_made_anew() {
    let Some(nats) = server().await else { return };
    let (engine, other) = (engine(&nats).await, engine(&nats).await);
    let mut node = Node::start(&engine).await;
    let mut second = Node::start(&other).await;
    for number in 0..20 {
        publish(&engine, &format!("old {number}")).await.unwrap();
    }
    node.until_head().await;
    second.until_head().await;
    streams(nats.addr()).await.delete_stream("sse-hub").await.unwrap();
    let error = publish(&engine, "into nothing").await.unwrap_err();
    assert!(!error.may_be_published(), "{error:?}");
    for number in 0..5 {
        publish_surely(&engine, &format!("new {number}")).await;
    }
    node.until_head().await;
    second.until_head().await;
    assert_eq!(node.records(), second.records());
    is_made_anew(&node, &engine, 20, 5).await;
}

/// A node that has not noticed yet cannot publish into the new log under ids of the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_anew_behind_a_nodes_back() {
    let Some(nats) = server().await else { return };
    let engine = engine(&nats).await;
    let old = publish(&engine, "old").await.unwrap().id;
    streams(nats.addr()).await.delete_stream("sse-hub").await.unwrap();
    let other = crate::engine(&nats).await;
    let new = publish(&other, "new").await.unwrap().id;
    assert_ne!(old.epoch(), new.epoch());
    // Nobody follows for it, so nothing has told it.
    let error = publish(&engine, "late").await.unwrap_err();
    assert!(!error.may_be_published(), "{error:?}");
    let mut node = Node::start(&engine).await;
    let published = publish_surely(&engine, "late").await.id;
    node.until_head().await;
    assert_eq!(node.records().last().unwrap(), &(published, "late".to_owned()));
    assert_eq!(published.epoch(), new.epoch());
}

async fn is_made_anew(node: &Node, engine: &JetStream, old: usize, new: usize) {
    let records = node.records();
    assert_eq!(records.len(), old + new, "{}", brief(&node.fed));
    let [(start, kept)] = seams(&node.fed)[..] else { panic!("{}", brief(&node.fed)) };
    assert_eq!((start.sequence(), kept), (0, None));
    assert!(records[..old].iter().all(|(id, _)| id.epoch() != start.epoch()));
    assert!(records[old..].iter().all(|(id, _)| id.epoch() == start.epoch()));
    assert!(node.fed.iter().all(|fed| !matches!(fed, Fed::Hole { .. })));
    let late = Node::start(engine).await;
    assert_eq!(late.begin(), (start, true));
    assert_eq!(late.records(), records[old..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purged() {
    let Some(nats) = server().await else { return };
    let (engine, stream) = open_to_purging(&nats).await;
    let mut node = Node::start(&engine).await;
    for number in 0..10 {
        publish(&engine, &number.to_string()).await.unwrap();
    }
    node.until_head().await;
    stream.purge().await.unwrap();
    node.until_head().await;
    assert!(node.is_whole(), "what was read is not missed: {}", brief(&node.fed));
    // And what was not.
    for number in 10..20 {
        publish(&engine, &number.to_string()).await.unwrap();
    }
    let unread = node.records().len();
    assert_eq!(unread, 10);
    let late = crate::engine(&nats).await;
    let mut slow = Node::start(&late).await;
    for number in 20..2_000 {
        // More than is read ahead.
        late.publish(Publication::new(key(), format!("{number} {}", "x".repeat(20_000)))).await.unwrap();
    }
    stream.purge().await.unwrap();
    let last = publish(&engine, "last").await.unwrap().id;
    let fed = slow.until("last", |fed| matches!(fed, Fed::Record { id, .. } if *id == last)).await;
    assert!(fed.iter().any(|fed| matches!(fed, Fed::Hole { .. })), "{}", brief(&fed));
    assert!(seams(&fed).is_empty(), "no new epoch");
    is_told(&slow);
    // The one that reads nothing at all until it is over, and has nothing behind it.
    stream.purge().await.unwrap();
    node.until_head().await;
    is_told(&node);
}

/// Trimmed while nobody reads: each record is given or within a hole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trimmed_under_a_reader() {
    let Some(nats) = server().await else { return };
    let engine = JetStream::builder(&nats.url()).max_bytes(1 << 20).connect().await.unwrap();
    let mut node = Node::start(&engine).await;
    let text = "x".repeat(10_000);
    for _ in 0..600 {
        publish(&engine, &text).await.unwrap();
    }
    node.until_head().await;
    is_told(&node);
    assert!(node.fed.iter().any(|fed| matches!(fed, Fed::Hole { .. })), "{}", brief(&node.fed));
    assert!((50..550).contains(&node.records().len()), "{}", node.records().len());
}

/// All of it leaves with its time, and nothing comes behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_while_away() {
    let Some(nats) = server().await else { return };
    let publisher =
        JetStream::builder(&nats.url()).retention(Duration::from_secs(1)).connect().await.unwrap();
    let proxy = sse_tests::proxy::Proxy::start(nats.addr(), std::iter::empty()).await.unwrap();
    let engine = JetStream::connect(&format!("nats://{}", proxy.addr())).await.unwrap();
    let mut node = Node::start(&engine).await;
    proxy.silence_all();
    for number in 0..20 {
        publish(&publisher, &number.to_string()).await.unwrap();
    }
    let mut stream = streams(nats.addr()).await.get_stream("sse-hub").await.unwrap();
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    while stream.info().await.unwrap().state.messages > 0 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    node.until_head().await;
    is_told(&node);
    let Some(Fed::Head { id, .. }) = node.fed.last() else { panic!() };
    assert_eq!(id.sequence(), 20);
}

/// Holes reach to where the next record lies behind, and nothing else is missing.
fn is_told(node: &Node) {
    let mut at = node.begin().0;
    for fed in &node.fed {
        match fed {
            Fed::Record { id, .. } => {
                assert_eq!(id.sequence(), at.sequence() + 1, "{}", brief(&node.fed));
                at = *id;
            }
            Fed::Hole { upto } => {
                assert_eq!(upto.epoch(), at.epoch());
                assert!(upto.sequence() > at.sequence(), "{}", brief(&node.fed));
                at = *upto;
            }
            Fed::Head { id, .. } => assert_eq!(*id, at),
            Fed::Seam { .. } => panic!("{}", brief(&node.fed)),
            _ => {}
        }
    }
}

/// A stream that somebody else has made, and may purge.
async fn open_to_purging(nats: &Nats) -> (JetStream, Stream) {
    drop(engine(nats).await);
    let streams = streams(nats.addr()).await;
    let mut config = streams.get_stream("sse-hub").await.unwrap().info().await.unwrap().config.clone();
    streams.delete_stream("sse-hub").await.unwrap();
    config.deny_purge = false;
    config.deny_delete = false;
    let stream = streams.create_stream(config).await.unwrap();
    (engine(nats).await, stream)
}

/// Records that were taken out one by one, at the end and in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_records_deleted() {
    let Some(nats) = server().await else { return };
    let (publisher, stream) = open_to_purging(&nats).await;
    let proxy = sse_tests::proxy::Proxy::start(nats.addr(), std::iter::empty()).await.unwrap();
    let engine = JetStream::connect(&format!("nats://{}", proxy.addr())).await.unwrap();
    let mut node = Node::start(&engine).await;
    proxy.silence_all();
    for number in 0..10 {
        publish(&publisher, &number.to_string()).await.unwrap();
    }
    for seq in [3, 4, 9, 10] {
        stream.delete_message(seq).await.unwrap();
    }
    node.until_head().await;
    is_told(&node);
    assert_eq!(node.records().len(), 6);
    let Some(Fed::Head { id, .. }) = node.fed.last() else { panic!() };
    assert_eq!(id.sequence(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolled_back_to_an_earlier_copy() {
    let Some(mut nats) = server().await else { return };
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    for number in 0..50 {
        publish(&engine, &format!("kept {number}")).await.unwrap();
    }
    node.until_head().await;
    nats.kill();
    let copy = nats.copy_store();
    node.until_away().await;
    nats.restart().await;
    node.until_head().await;
    for number in 0..50 {
        publish(&engine, &format!("lost {number}")).await.unwrap();
    }
    node.until_head().await;
    assert!(node.is_whole());
    let (at_copy, before) = (50, node.records());
    let from = node.fed.len();

    nats.kill();
    nats.replace_store(Some(&copy));
    node.until_away().await;
    nats.restart().await;
    // The positions of what was lost are taken again.
    for number in 0..80 {
        publish_surely(&engine, &format!("new {number}")).await;
    }
    node.until_head().await;
    let [(start, kept)] = seams(&node.fed[from..])[..] else { panic!("{}", brief(&node.fed[from..])) };
    assert_eq!(kept, None, "nothing of the epoch that was begun after the copy");
    let records = node.records();
    assert_eq!(records.len(), 180);
    let ids: BTreeSet<_> = records.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids.len(), 180, "no id for two records");
    assert!(records[100..].iter().all(|(id, _)| id.epoch() == start.epoch()));

    let late = Node::start(&crate::engine(&nats).await).await;
    let expected: Vec<_> = before[..at_copy].iter().chain(&records[100..]).cloned().collect();
    assert_eq!(late.records(), expected, "the same ids for one that starts later");
    assert!(late.is_whole(), "which knows nothing of what was lost");
}

/// The server was only stopped for the copy by a file system's snapshot: the epoch is the one that goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolled_back_within_an_epoch() {
    let Some(mut nats) = server().await else { return };
    let engine = engine(&nats).await;
    let other = crate::engine(&nats).await;
    let mut node = Node::start(&engine).await;
    let mut behind = Node::start(&other).await;
    for number in 0..50 {
        publish(&engine, &format!("kept {number}")).await.unwrap();
    }
    node.until_head().await;
    behind.until_head().await;
    nats.freeze();
    // A snapshot of what is on disk at one moment.
    let copy = nats.snapshot_store();
    nats.thaw();
    for number in 0..50 {
        publish_surely(&engine, &format!("lost {number}")).await;
    }
    node.until_head().await;
    let lost = node.records();
    let from = node.fed.len();
    nats.kill();
    nats.replace_store(Some(&copy));
    nats.restart().await;
    // First comes a node that knows nothing, and publishes at once.
    let fresh = crate::engine(&nats).await;
    for number in 0..80 {
        publish_surely(&fresh, &format!("new {number}")).await;
    }
    node.until_head().await;
    behind.until_head().await;
    let seams = seams(&node.fed[from..]);
    let [(start, Some(kept))] = seams[..] else { panic!("{}", brief(&node.fed[from..])) };
    // The server may have written some of it later.
    assert!(kept <= 50, "{kept}");
    let records = node.records();
    let new: Vec<_> = records.iter().filter(|(_, text)| text.starts_with("new")).cloned().collect();
    assert_eq!(new.len(), 80);
    assert!(new.iter().all(|(id, _)| id.epoch() == start.epoch() && !lost.iter().any(|(old, _)| old == id)));
    let late = Node::start(&fresh).await;
    assert_eq!(late.records(), [&lost[..kept as usize], &new].concat());
    let of_behind = behind.records();
    assert!(of_behind.ends_with(&new));
}

/// One that lost its position's record to others, in a cluster or behind another server, finds out by the record's time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_while_the_link_was_cut() {
    let Some(nats) = server().await else { return };
    let (publisher, stream) = open_to_purging(&nats).await;
    let proxy = sse_tests::proxy::Proxy::start(nats.addr(), std::iter::empty()).await.unwrap();
    let engine = JetStream::connect(&format!("nats://{}", proxy.addr())).await.unwrap();
    let mut node = Node::start(&engine).await;
    for number in 0..30 {
        publish(&publisher, &format!("old {number}")).await.unwrap();
    }
    node.until_head().await;
    let old = node.records();
    let from = node.fed.len();
    // The same stream, by name, description and server, with other records: as if its store had been exchanged.
    let streams = streams(nats.addr()).await;
    let config = stream.cached_info().config.clone();
    proxy.silence_all();
    streams.delete_stream("sse-hub").await.unwrap();
    streams.create_stream(config).await.unwrap();
    for number in 0..60 {
        publish(&publisher, &format!("new {number}")).await.unwrap();
    }
    node.until_head().await;
    let seams = seams(&node.fed[from..]);
    let [(start, None)] = seams[..] else { panic!("{}", brief(&node.fed[from..])) };
    assert_ne!(start.epoch(), old[0].0.epoch());
    let _follows = Node::start(&publisher).await;
    let published = publish_surely(&publisher, "after").await.id;
    node.until_head().await;
    assert_eq!(node.records().last().unwrap(), &(published, "after".to_owned()));
    let late = Node::with(&engine, Past::new(usize::MAX, usize::MAX, Duration::from_secs(600))).await;
    assert_eq!(late.records().last(), node.records().last());
}

/// An epoch ends before records that are there: they were accepted, and cannot be told from those that took the place of
/// others. So whoever was in it is told of a loss; what was kept among them is given once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_ends_behind_what_is_intact() {
    let Some(nats) = server().await else { return };
    let publisher = engine(&nats).await;
    let proxy = sse_tests::proxy::Proxy::start(nats.addr(), std::iter::empty()).await.unwrap();
    let engine = JetStream::connect(&format!("nats://{}", proxy.addr())).await.unwrap();
    let mut node = Node::start(&engine).await;
    for number in 0..20 {
        publish(&publisher, &number.to_string()).await.unwrap();
    }
    node.until_head().await;
    let from = node.fed.len();
    proxy.silence_all();
    keep(&publisher, "person", Duration::from_secs(3600), "signed out").await;
    let streams = streams(nats.addr()).await;
    let description =
        streams.get_stream("sse-hub").await.unwrap().cached_info().config.description.clone().unwrap();
    let (base, server) =
        description.strip_prefix("sse-nats epoch=").and_then(|rest| rest.split_once(" server=")).unwrap();
    let id = u64::from_str_radix(base, 16).unwrap();
    let marker = format!(r#"{{"from":{{"id":{id},"since":0}},"to":7,"kept":10,"server":"{server}"}}"#);
    streams.publish(format!("sse-hub.{base}.epoch"), marker.into()).await.unwrap().await.unwrap();
    publish(&publisher, "last").await.unwrap();
    node.until_head().await;
    for fed in [&node.fed[from..], &Node::start(&publisher).await.fed] {
        let [(start, kept)] = seams(fed)[..] else { panic!("{}", brief(fed)) };
        assert_eq!((start.epoch(), start.sequence(), kept), (7, 22, None));
        assert_eq!(records(fed).last().unwrap(), &(EventId::new(7, 23), "last".to_owned()));
        let is_kept = |fed: &Fed| matches!(fed, Fed::Kept { record } if record == "signed out");
        assert!(fed.iter().any(is_kept), "{}", brief(fed));
    }
}

/// It is deleted, made anew, and put back as it was: with it come ids that have been followed by others since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_and_put_back() {
    let Some(nats) = server().await else { return };
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    for number in 0..20 {
        publish(&engine, &format!("old {number}")).await.unwrap();
    }
    node.until_head().await;
    let streams = streams(nats.addr()).await;
    let old = streams.get_stream("sse-hub").await.unwrap().cached_info().config.clone();
    streams.delete_stream("sse-hub").await.unwrap();
    publish_surely(&engine, "new").await;
    node.until_head().await;
    let from = node.fed.len();
    streams.delete_stream("sse-hub").await.unwrap();
    let base = old.description.clone().unwrap();
    let base = base.strip_prefix("sse-nats epoch=").and_then(|rest| rest.split(' ').next()).unwrap();
    streams.create_stream(old.clone()).await.unwrap();
    for number in 0..5 {
        streams
            .publish(format!("sse-hub.{base}.record"), format!("back {number}").into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    // What comes in front of the new epoch is told to be lost.
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    let mut number = 0;
    while node.records().last().is_none_or(|(_, text)| *text != format!("last {number}")) {
        assert!(std::time::Instant::now() < deadline, "{}", brief(&node.fed[from..]));
        number += 1;
        publish_surely(&engine, &format!("last {number}")).await;
        node.until_head().await;
    }
    let mut left: Vec<_> = node.records().iter().map(|(id, _)| id.epoch()).collect();
    left.dedup();
    let distinct: BTreeSet<_> = left.iter().collect();
    assert_eq!(distinct.len(), left.len(), "no epoch comes again: {}", brief(&node.fed));
    assert!(seams(&node.fed[from..]).iter().all(|(_, kept)| kept.is_none()), "{}", brief(&node.fed[from..]));
}
