//! Who is cut goes on at any other node.

use rand::RngExt as _;
use sse_tests::engines::{Kind, Running};

use super::{
    client::{Client, numbered},
    node::{has, node},
};

pub(crate) async fn another_node_goes_on_where_the_first_was_cut(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await, node(&log).await];
    let mut client = Client::new(&nodes[0], &["news"]).await;
    let publisher = nodes[1].clone();
    let publisher = tokio::spawn(async move {
        for n in 0..200 {
            publisher.publish("news", format!("news-{n}")).await.expect("it is there");
            publisher.publish("other", "not yours").await.expect("it is there");
        }
    });
    // It comes to a node that is behind, too: it is held until that has caught up.
    let mut came = Vec::new();
    while came.len() < 200 {
        for _ in 0..rand::random_range(1..20).min(200 - came.len()) {
            came.push(client.short().await);
        }
        client = client.again(&nodes[rand::random_range(0..3)]);
    }
    assert_eq!(came, numbered("news", 0..200));
    publisher.await.expect("it publishes");
    nodes[2].publish("news", "end").await.expect("it is there");
    assert_eq!(client.short().await, "end");
}

pub(crate) async fn on_many_topics(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await];
    for count in [1, 5, 32] {
        let topics: Vec<_> = (0..count).map(|topic| format!("{count}/{topic}")).collect();
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        let mut client = Client::new(&nodes[0], &topics).await;
        let mut rng = rand::rng();
        let mut last = None;
        for n in 0..100 {
            let topic = topics[rng.random_range(0..topics.len())];
            last = Some(nodes[n % 2].publish(topic, format!("{count}-{n}")).await.expect("it is there"));
        }
        let mut came = Vec::new();
        for turn in 0..10 {
            for _ in 0..10 {
                came.push(client.short().await);
            }
            client = client.again(&nodes[turn % 2]);
        }
        assert_eq!(came, numbered(&count.to_string(), 0..100));
        // With the last id of all nothing is owed.
        let last = last.expect("an id");
        has(&nodes[0], last).await;
        let mut client = Client::after(&nodes[0], &topics, last);
        nodes[1].publish(topics[0], "end").await.expect("it is there");
        assert_eq!(client.short().await, "end");
    }
}

pub(crate) async fn any_text_gets_a_stream(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await];
    let first = nodes[0].publish("news", "first").await.expect("it is there");
    has(&nodes[1], first).await;
    let ahead = |by: u64| format!("{:016x}-{}", first.epoch(), first.sequence().saturating_add(by));
    for (text, reason) in [
        ("x".into(), "gap:unknown"),
        ("-".into(), "gap:unknown"),
        ("0".repeat(2000), "gap:unknown"),
        (format!("{:016x}-0x1", first.epoch()), "gap:unknown"),
        (ahead(1000), "gap:unknown"),
        (ahead(u64::MAX), "gap:unknown"),
        (format!("{:016x}-1", first.epoch() ^ 1), "gap:restarted"),
        (format!("{:016x}-{}", 0, u64::MAX), "gap:restarted"),
    ] {
        let mut client = Client::open(&nodes[1], &["news"], Some(&text));
        assert_eq!(client.short().await, reason, "{text}");
        nodes[0].publish("news", format!("behind {text}")).await.expect("it is there");
        let last = format!("behind {text}");
        let came = client.upto(&last).await;
        assert!(came.iter().all(|came| !came.starts_with("gap")), "{text}: {came:?}");
        // It goes on from there like any other.
        let mut client = client.again(&nodes[0]);
        nodes[1].publish("news", "end").await.expect("it is there");
        assert_eq!(client.short().await, "end");
    }
}
