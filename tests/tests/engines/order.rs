//! One order, and one id for each event, on all nodes.

use std::collections::BTreeSet;

use sse_tests::engines::{Kind, Running};

use super::{
    client::Client,
    node::{in_time, node},
};

pub(crate) async fn every_node_has_the_same_ids_in_the_same_order(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await, node(&log).await];
    let mut clients = Vec::new();
    for hub in &nodes {
        clients.push(Client::new(hub, &["news"]).await);
    }
    let mut published = Vec::new();
    for n in 0..90 {
        let id = nodes[n % 3].publish("news", format!("{n}")).await.expect("it is there");
        published.push((id.to_string(), n.to_string()));
    }
    for client in &mut clients {
        let mut came = Vec::new();
        for _ in 0..published.len() {
            let event = client.next().await;
            came.push((event.last_event_id, event.data));
        }
        assert_eq!(came, published);
    }
    let kept: Vec<_> = log.records().await.into_iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(kept, published.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
}

pub(crate) async fn what_is_awaited_keeps_its_order(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await];
    let mut client = Client::new(&nodes[1], &["a", "b"]).await;
    // Others, who do not wait for it.
    let others = (0..4).map(|task| {
        let hub = nodes[task % 2].clone();
        tokio::spawn(async move {
            for n in 0..50 {
                hub.publish("noise", format!("{task}/{n}")).await.expect("it is there");
            }
        })
    });
    let others: Vec<_> = others.collect();
    for n in 0..100 {
        let topic = if n % 3 == 0 { "a" } else { "b" };
        nodes[n % 2].publish(topic, n.to_string()).await.expect("it is there");
    }
    for n in 0..100 {
        assert_eq!(client.short().await, n.to_string());
    }
    for other in others {
        other.await.expect("it publishes");
    }
}

pub(crate) async fn concurrent_publishers_lose_and_repeat_nothing(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await, node(&log).await];
    let mut clients = Vec::new();
    for hub in &nodes {
        clients.push(Client::new(hub, &["news"]).await);
    }
    let publishers = (0..9).map(|task| {
        let hub = nodes[task % 3].clone();
        tokio::spawn(async move {
            for n in 0..40 {
                hub.publish("news", format!("{task}/{n}")).await.expect("it is there");
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        in_time("the publishers", publisher).await.expect("it publishes");
    }
    let mut all = Vec::new();
    for client in &mut clients {
        let mut came = Vec::new();
        for _ in 0..360 {
            let event = client.next().await;
            came.push((event.last_event_id, event.data));
        }
        all.push(came);
    }
    assert_eq!(all[0].iter().map(|(_, data)| data).collect::<BTreeSet<_>>().len(), 360);
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    // That was all.
    nodes[0].publish("news", "end").await.expect("it is there");
    for client in &mut clients {
        assert_eq!(client.short().await, "end");
    }
    let ids: Vec<_> = log.records().await.into_iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids[..360], all[0].iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
}

pub(crate) async fn an_event_of_several_topics_comes_once(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await];
    let mut client = Client::new(&nodes[1], &["a", "b", "c"]).await;
    let first = nodes[0].publish(["a", "b", "x"], "first").await.expect("it is there");
    nodes[0].publish("x", "not yours").await.expect("it is there");
    nodes[0].publish(["c"], "second\n with\r\nlines ").await.expect("it is there");
    assert_eq!(client.short().await, "first");
    assert_eq!(client.id, Some(first.to_string()));
    assert_eq!(client.short().await, "second\n with\nlines ");
}
