//! While the engine does not answer.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use sse_core::{Hub, PublishError};
use sse_tests::engines::{Kind, Running, frozen_for};

use super::{
    client::{Client, numbered, request},
    node::{PATIENCE, builder, in_time, node, publish_at_last, until},
};

async fn impatient(log: &Running) -> Hub {
    let hub = builder()
        .engine(log.connect().await)
        .publish_timeout(Duration::from_millis(500))
        .unready_after(Duration::from_millis(300))
        .ready_timeout(PATIENCE);
    hub.build().await.expect("the engine answers")
}

pub(crate) async fn clients_stay_and_go_on_exactly(kind: Kind) {
    let Some(mut log) = Running::start(kind).await else { return };
    let hub = impatient(&log).await;
    let mut client = Client::new(&hub, &["news"]).await;
    let mut raw = Box::pin(hub.open(&request(&hub, None), "quiet").expect("a stream"));
    for n in 0..5 {
        hub.publish("news", format!("news-{n}")).await.expect("it is there");
    }
    assert!(hub.is_ready() && hub.away_for().is_none());
    log.stop().await;
    until("the node notices", || hub.away_for().is_some()).await;
    until("it is not ready any more", || !hub.is_ready()).await;
    let failed = hub.publish("news", "lost").await;
    assert!(matches!(failed, Err(PublishError::NotPublished | PublishError::Unknown)), "{failed:?}");
    // They are kept alive.
    let mut pings = 0;
    while pings < 3 {
        let chunk = in_time("a keep-alive", raw.next()).await.expect("it is open");
        pings += usize::from(chunk == ":\n");
    }
    // Others may come meanwhile, and come back with what they have.
    let mut back = Client::after(&hub, &["news"], client.id.clone().expect("an id"));
    log.start_again().await;
    until("it is back", || hub.away_for().is_none()).await;
    assert!(hub.is_ready());
    for n in 5..10 {
        publish_at_last(&hub, "news", &format!("news-{n}")).await;
    }
    let without = |came: Vec<String>| came.into_iter().filter(|came| came != "lost").collect::<Vec<_>>();
    assert_eq!(without(client.upto("news-9").await), numbered("news", 0..10));
    assert_eq!(without(back.upto("news-9").await), numbered("news", 0..10));
    // What was said to be unpublished is not there; what is unknown is there at most once.
    let lost = log.records().await.into_iter();
    let lost = lost.filter(|(_, record)| String::from_utf8_lossy(record).contains("lost")).count();
    assert!(lost <= usize::from(failed == Err(PublishError::Unknown)), "{lost} {failed:?}");
}

/// `SSE_ENGINES_FROZEN` says for how many seconds (default 3).
pub(crate) async fn frozen(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let (hub, other) = (impatient(&log).await, node(&log).await);
    let mut clients = [Client::new(&hub, &["news"]).await, Client::new(&other, &["news"]).await];
    for n in 0..5 {
        hub.publish("news", format!("news-{n}")).await.expect("it is there");
    }
    let (begun, time) = (Instant::now(), frozen_for(3));
    log.freeze();
    let mut told = HashMap::new();
    let mut n = 0;
    while begun.elapsed() < time || n < 2 {
        let data = format!("frozen-{n}");
        let failed = hub.publish("news", data.clone()).await.expect_err("it does not answer");
        assert!(matches!(failed, PublishError::NotPublished | PublishError::Unknown), "{failed:?}");
        told.insert(data, failed);
        n += 1;
    }
    until("the nodes notice", || hub.away_for().is_some() && other.away_for().is_some()).await;
    log.thaw();
    until("it is back", || hub.away_for().is_none() && other.away_for().is_none()).await;
    publish_at_last(&other, "news", "end").await;
    // Each client has what is in the log, whatever was said of it.
    let records = log.records().await;
    let text = |record: &[u8]| String::from_utf8_lossy(record).into_owned();
    for client in &mut clients {
        let came = client.upto("end").await;
        assert_eq!(came[..5], numbered("news", 0..5));
        assert!(came.iter().all(|came| !came.starts_with("gap")), "{came:?}");
        for (data, error) in &told {
            let in_log =
                records.iter().filter(|(_, record)| text(record).contains(&format!("{data}\\n"))).count();
            let at_client = came.iter().filter(|came| *came == data).count();
            assert!(in_log <= usize::from(*error == PublishError::Unknown), "{data}: {in_log} {error:?}");
            assert_eq!(in_log, at_client, "{data}");
        }
    }
}

pub(crate) async fn none_is_let_in_where_that_is_not_wanted(kind: Kind) {
    let Some(mut log) = Running::start(kind).await else { return };
    let hub = builder().engine(log.connect().await).open_while_away(false).ready_timeout(PATIENCE);
    let hub = hub.build().await.expect("the engine answers");
    let mut client = Client::new(&hub, &["news"]).await;
    log.stop().await;
    until("the node notices", || hub.away_for().is_some()).await;
    let refusal = hub.open(&request(&hub, None), "news").expect_err("it is away");
    assert_eq!(refusal.status(), 503, "{refusal:?}");
    log.start_again().await;
    until("it is back", || hub.open(&request(&hub, None), "news").is_ok()).await;
    // Who was there has stayed.
    publish_at_last(&hub, "news", "end").await;
    assert_eq!(client.short().await, "end");
}

pub(crate) async fn a_hub_that_is_dropped_leaves_nothing(kind: Kind) {
    let Some(mut log) = Running::start(kind).await else { return };
    let before = log.connections().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let at_rest = tasks();
    for is_away in [false, true] {
        let hub = impatient(&log).await;
        let client = Client::new(&hub, &["news"]).await;
        let ahead = Client::after(&hub, &["news"], format!("{:016x}-999", hub.position().epoch()));
        let publishing = hub.clone();
        let publishing = tokio::spawn(async move { publishing.publish("news", "x").await });
        if is_away {
            log.stop().await;
            until("the node notices", || hub.away_for().is_some()).await;
        }
        drop((hub, client, ahead));
        let _ = in_time("the publisher is told", publishing).await.expect("no panic");
        if is_away {
            log.start_again().await;
        }
        let deadline = Instant::now() + PATIENCE;
        while log.connections().await > before || tasks() > at_rest {
            assert!(
                Instant::now() < deadline,
                "{} connections, {} tasks are left",
                log.connections().await,
                tasks()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
