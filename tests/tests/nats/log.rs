//! What is published is followed: once, in order, with the same ids everywhere.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, future::join_all};
use sse_core::{Engine, Fed, Past, Publication};
use sse_nats::JetStream;
use tokio::time::timeout;

use crate::{Node, PATIENCE, at_last, engine, key, publish, records, server, streams};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_come_in_one_order_and_densely() {
    let Some(nats) = server().await else { return };
    let (one, other) = (engine(&nats).await, engine(&nats).await);
    let mut node = Node::start(&one).await;
    assert!(node.begin().1, "nothing was before");
    let mut late = Node::start(&other).await;

    let mut given = Vec::new();
    for number in 0..100 {
        let by = if number % 2 == 0 { &one } else { &other };
        let published = publish(by, &number.to_string()).await.unwrap();
        assert!(published.is_new);
        given.push((published.id, number.to_string()));
    }
    let many = join_all((0..300).map(|number| {
        let one = &one;
        async move { publish(one, &format!("many {number}")).await.unwrap().id }
    }));
    let many: BTreeSet<_> = many.await.into_iter().map(|id| id.sequence()).collect();
    assert_eq!(many, (101..=400).collect(), "each its own place");

    node.until_head().await;
    late.until_head().await;
    assert!(node.is_whole() && late.is_whole());
    assert_eq!(node.records()[..100], given);
    assert_eq!(node.records().len(), 400);
    assert_eq!(node.records(), late.records());
    let later = Node::start(&engine(&nats).await).await;
    assert_eq!(later.records(), node.records(), "the same ids for one that starts later");
    assert!(later.begin().1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_taken_once() {
    let Some(nats) = server().await else { return };
    let (one, other) = (engine(&nats).await, engine(&nats).await);
    let first = one.publish(Publication::new("once", "first")).await.unwrap();
    let second = other.publish(Publication::new("once", "second")).await.unwrap();
    assert!(first.is_new && !second.is_new);
    assert_eq!(first.id, second.id);
    assert_eq!(one.remembers_keys_for(), Duration::from_secs(120));

    for race in 0..300 {
        let with = |who: &str| Publication::new(format!("race-{race}"), who.to_owned());
        let (a, b) = tokio::join!(one.publish(with("one")), other.publish(with("other")));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.id, b.id);
        assert!(a.is_new != b.is_new, "one winner, not {a:?} and {b:?}");
    }
    let node = Node::start(&one).await;
    assert_eq!(node.records().len(), 301);
    assert!(node.is_whole());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_begins_with_as_much_of_the_past_as_it_wants() {
    let Some(nats) = server().await else { return };
    let engine = engine(&nats).await;
    for number in 0..50 {
        publish(&engine, &number.to_string()).await.unwrap();
    }
    let hour = Duration::from_secs(3600);
    let node = Node::with(&engine, Past::new(5, usize::MAX, hour)).await;
    assert_eq!((node.begin().0.sequence(), node.begin().1), (45, false));
    assert_eq!(node.records().len(), 5);
    for fed in &node.fed {
        if let Fed::Record { age, .. } = fed {
            assert!(*age < Duration::from_secs(60), "{age:?}");
        }
    }
    // Nothing is so young.
    let node = Node::with(&engine, Past::new(usize::MAX, usize::MAX, Duration::ZERO)).await;
    assert_eq!((node.begin().0.sequence(), node.records().len()), (50, 0));
    // Few bytes, some more than asked for.
    let node = Node::with(&engine, Past::new(usize::MAX, 500, hour)).await;
    assert!((1..40).contains(&node.records().len()), "{}", node.records().len());
    // By age: only what came after a pause.
    let pause = Duration::from_secs(3);
    tokio::time::sleep(pause).await;
    let recent = std::time::Instant::now();
    publish(&engine, "recent").await.unwrap();
    let age = recent.elapsed() + pause / 2;
    let mut node = Node::with(&engine, Past::new(usize::MAX, usize::MAX, age)).await;
    if recent.elapsed() < age {
        assert_eq!(records(&node.fed).len(), 1);
    }
    publish(&engine, "next").await.unwrap();
    node.until_head().await;
    assert!(node.is_whole());
    assert_eq!(node.records().last().unwrap().1, "next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_told_of_the_newest_record_all_the_time() {
    let Some(nats) = server().await else { return };
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    let mut last = None;
    for _ in 0..6 {
        let head = node.until("head", |fed| matches!(fed, Fed::Head { .. })).await;
        let Some(Fed::Head { id, asked }) = head.last().cloned() else { panic!() };
        assert_eq!(id, node.begin().0);
        if let Some(last) = last.replace(asked) {
            let pause = asked - last;
            // Twice as often as it must be; a busy machine makes it more.
            assert!(pause > Duration::from_millis(100) && pause < Duration::from_secs(20), "{pause:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_make_the_stream_make_one() {
    let Some(nats) = server().await else { return };
    for round in 0..10 {
        let url = nats.url();
        let connect = || at_last(|| JetStream::builder(&url).name(format!("race-{round}")));
        let (one, other, third) = tokio::join!(connect(), connect(), connect());
        let mut epochs = BTreeSet::new();
        for engine in [&one, &other, &third] {
            epochs.insert(publish(engine, "x").await.unwrap().id.epoch());
            epochs.insert(Node::start(engine).await.begin().0.epoch());
        }
        assert_eq!(epochs.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_stream_is_used_as_it_is() {
    let Some(nats) = server().await else { return };
    let first = publish(&engine(&nats).await, "first").await.unwrap();
    let engine = JetStream::builder(&nats.url())
        .retention(Duration::from_secs(60))
        .max_bytes(1 << 20)
        .duplicate_window(Duration::from_secs(10))
        .connect()
        .await
        .unwrap();
    assert_eq!(engine.remembers_keys_for(), Duration::from_secs(120), "as the stream does");
    let node = Node::start(&engine).await;
    assert_eq!(node.records()[0].0, first.id);
    let streams = streams(nats.addr()).await;
    let mut stream = streams.get_stream("sse-hub").await.unwrap();
    let config = &stream.info().await.unwrap().config;
    assert_eq!(config.max_age, Duration::from_secs(3600), "it was not changed");
    assert!(config.deny_delete && config.deny_purge);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_records_come_and_larger_ones_are_refused() {
    let Some(nats) = server().await else { return };
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    // The server's own limit is 1 MiB, and what is asked for at once is 4 MiB.
    let large = "x".repeat(1_000_000);
    for _ in 0..12 {
        engine.publish(Publication::new(key(), large.clone())).await.unwrap();
    }
    let error = engine.publish(Publication::new(key(), large.repeat(2))).await.unwrap_err();
    assert!(!error.may_be_published(), "{error:?}");
    node.until_head().await;
    assert_eq!(node.records().len(), 12);
    assert!(node.is_whole());
}

/// One of them is larger than what is asked for at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_larger_than_a_batch_comes() {
    if !sse_tests::nats::Nats::is_available() {
        return;
    }
    let nats =
        sse_tests::nats::Nats::start_with("max_payload: 8MB\njetstream { store_dir: \"STORE\" }").await;
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    for size in [10, 6 << 20, 10, 7 << 20, 10] {
        engine.publish(Publication::new(key(), "x".repeat(size))).await.unwrap();
    }
    node.until_head().await;
    assert!(node.is_whole());
    assert_eq!(node.records().len(), 5);
}

/// The server forgets what nodes have left there that are gone without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_gone_leave_nothing_behind() {
    let Some(nats) = server().await else { return };
    for _ in 0..25 {
        let engine = engine(&nats).await;
        let _node = Node::start(&engine).await;
    }
    let streams = streams(nats.addr()).await;
    let mut stream = streams.get_stream("sse-hub").await.unwrap();
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    loop {
        // One is the source of the kept records.
        let consumers = stream.info().await.unwrap().state.consumer_count;
        if consumers <= 1 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{consumers} consumers are left");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The server gives no more at once than it is set to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_gives_little_at_once() {
    if !sse_tests::nats::Nats::is_available() {
        return;
    }
    let configuration = "jetstream { store_dir: \"STORE\", limits { max_request_batch: 100 } }";
    let nats = sse_tests::nats::Nats::start_with(configuration).await;
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    for number in 0..350 {
        publish(&engine, &number.to_string()).await.unwrap();
    }
    node.until_head().await;
    assert_eq!(node.records().len(), 350);
    assert!(node.is_whole());
    assert_eq!(Node::start(&engine).await.records().len(), 350);
}

/// A cluster says so for a moment when another server is to lead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_without_a_code_is_not_the_last_word() {
    let Some(nats) = server().await else { return };
    let engine = engine(&nats).await;
    streams(nats.addr()).await.delete_stream("sse-hub").await.unwrap();
    let other = async_nats::connect(nats.url()).await.unwrap();
    let mut asked = other.subscribe("sse-hub.*.record").await.unwrap();
    // Once the server answers it knows of that.
    other.request("$JS.API.INFO", "".into()).await.unwrap();
    let answers = tokio::spawn(async move {
        let asked = asked.next().await.unwrap();
        let answer = r#"{"error":{"code":503,"description":"raft: not leader"},"stream":"sse-hub","seq":0}"#;
        other.publish(asked.reply.unwrap(), answer.into()).await.unwrap();
        other.flush().await.unwrap();
    });
    let error = publish(&engine, "x").await.unwrap_err();
    timeout(PATIENCE, answers).await.expect("it is asked").unwrap();
    assert!(!error.is_final() && !error.may_be_published(), "{error:?}");
}
