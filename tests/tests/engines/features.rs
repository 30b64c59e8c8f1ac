//! What a hub can do it can do with an engine.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use sse_core::{Start, TopicPattern, Topics};
use sse_tests::engines::{Kind, Running};

use super::{
    client::{Client, numbered, request},
    node::{builder, has, in_time, node, with},
};

pub(crate) async fn latest_values(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let latest = || builder().latest(TopicPattern::new("price/*").expect("a pattern"));
    let (a, b) = (with(latest(), log.connect().await).await, with(latest(), log.connect().await).await);
    let first = a.publish("price/x", "1").await.expect("it is there");
    for n in 2..30 {
        a.publish("price/x", n.to_string()).await.expect("it is there");
    }
    let last = b.publish("price/y", "100").await.expect("it is there");
    has(&a, last).await;
    has(&b, last).await;
    for hub in [&a, &b, &with(latest(), log.connect().await).await] {
        // Whoever comes has the present values, and whoever comes back is told of no loss.
        let mut client = Client::open(hub, &["price/x", "price/y"], None);
        assert_eq!([client.short().await, client.short().await], ["29", "100"]);
        let mut client = Client::after(hub, &["price/x", "price/y"], first);
        assert_eq!([client.short().await, client.short().await], ["29", "100"]);
    }
}

pub(crate) async fn caps_of_each_topic(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let hub = with(builder().max_events_per_topic(3), log.connect().await).await;
    let quiet = hub.publish("quiet", "quiet-0").await.expect("it is there");
    let mut last = quiet;
    for n in 0..50 {
        last = hub.publish("noisy", format!("noisy-{n}")).await.expect("it is there");
    }
    has(&hub, last).await;
    for hub in [&hub, &with(builder().max_events_per_topic(3), log.connect().await).await] {
        assert_eq!(hub.stats().events, 4);
        let start = format!("{:016x}-{}", quiet.epoch(), quiet.sequence() - 1);
        let mut client = Client::after(hub, &["quiet"], &start);
        assert_eq!(client.short().await, "quiet-0");
        let mut client = Client::after(hub, &["noisy"], &start);
        assert_eq!(client.short().await, "gap:trimmed");
        assert_eq!(client.upto("noisy-49").await, numbered("noisy", 47..50));
    }
}

pub(crate) async fn filters(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let (a, b) = (node(&log).await, node(&log).await);
    let even = |text: &str| text.parse::<usize>().is_ok_and(|n| n % 2 == 0);
    let stream = b.open(&request(&b, None), "news").expect("a stream");
    let stream = stream.filter_map(move |event| even(&event.data()).then(|| format!("{}!", event.data())));
    let mut client = Client::reading(stream, &["news"], None);
    let mut last = None;
    for n in 0..20 {
        last = Some(a.publish("news", n.to_string()).await.expect("it is there"));
    }
    for n in (0..20).step_by(2) {
        assert_eq!(client.short().await, format!("{n}!"));
    }
    has(&b, last.expect("an id")).await;
}

pub(crate) async fn handles_add_topics(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let (a, b) = (node(&log).await, node(&log).await);
    let stream = b.open(&request(&b, None), "news").expect("a stream");
    let handle = stream.handle();
    let mut client = Client::reading(stream, &["news"], None);
    let before = a.publish("room", "before").await.expect("it is there");
    has(&b, before).await;
    assert!(handle.add(&Topics::new(["room"]).expect("topics")));
    a.publish("room", "after").await.expect("it is there");
    assert_eq!(client.short().await, "after");
    assert!(handle.remove(&Topics::new(["news"]).expect("topics")));
    a.publish("news", "not any more").await.expect("it is there");
    a.publish("room", "still").await.expect("it is there");
    assert_eq!(client.short().await, "still");
    // Elsewhere it asks for both, and has what it missed of them.
    let mut client = Client::after(&a, &["room", "news"], before);
    assert_eq!(client.upto("still").await, ["after", "not any more", "still"]);
}

pub(crate) async fn read_on_this_side(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let (a, b) = (node(&log).await, node(&log).await);
    let mut events = b.subscribe(["news", "other"], Start::Now).expect("topics");
    let id = a.publish(["news", "x"], "first").await.expect("it is there");
    let event = in_time("an event", events.next()).await.expect("it goes on");
    assert_eq!((event.id(), &*event.data()), (id, "first"));
    assert_eq!(event.topics().iter().map(sse_core::Topic::as_str).collect::<Vec<_>>(), ["news", "x"]);
    // Behind one that this node has not seen yet.
    let ahead = a.publish("news", "second").await.expect("it is there");
    let mut events = b.subscribe("news", Start::After(ahead)).expect("topics");
    a.publish("news", "third").await.expect("it is there");
    let event = in_time("an event", events.next()).await.expect("it goes on");
    assert_eq!(event.data(), "third");
}

pub(crate) async fn where_a_reader_begins(kind: Kind) {
    let Some(mut log) = Running::start(kind).await else { return };
    let first = node(&log).await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(first.publish("news", format!("news-{n}")).await.expect("it is there"));
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let between = SystemTime::now() - Duration::from_millis(700);
    // An engine that was started anew in the midst of them has lost none.
    log.stop().await;
    super::node::until("the node notices", || first.away_for().is_some()).await;
    log.start_again().await;
    for n in 10..20 {
        ids.push(super::node::publish_at_last(&first, "news", &format!("news-{n}")).await);
    }
    has(&first, ids[19]).await;
    for hub in [&first, &node(&log).await] {
        for (start, from) in [
            (Start::Oldest, 0),
            (Start::Last(3), 17),
            (Start::Last(15), 5),
            (Start::Last(100), 0),
            (Start::Since(between), 10),
            (Start::Since(SystemTime::now() - Duration::from_secs(3000)), 0),
            (Start::After(ids[3]), 4),
            (Start::After(ids[15]), 16),
        ] {
            let mut events = hub.subscribe("news", start).expect("topics");
            for n in from..20 {
                let event = in_time("an event", events.next()).await.expect("it goes on");
                assert_eq!(event.data(), format!("news-{n}"), "{start:?}");
            }
        }
    }
}
