//! What an engine has to do is a matter of events and nodes, not of clients.

use std::time::Duration;

use futures_util::future::join_all;
use sse_tests::engines::{Kind, Running};

use super::{client::Client, node::node};

const EVENTS: usize = 200;

/// How much two nodes ask of their engine for some events and so many clients, who are cut once in between. `None` where
/// there is no engine.
async fn asked(kind: Kind, clients: usize) -> Option<u64> {
    let log = Running::start(kind).await?;
    let nodes = [node(&log).await, node(&log).await];
    let topics = ["news"];
    let before = log.traffic().await;
    let begun = tokio::time::Instant::now();
    let mut all = join_all((0..clients).map(|n| Client::new(&nodes[n % 2], &topics))).await;
    for n in 0..EVENTS {
        nodes[n % 2].publish("news", n.to_string()).await.expect("it is there");
        if n == EVENTS / 2 {
            let last = n.to_string();
            for client in &mut all {
                client.upto(&last).await;
            }
            all = all.into_iter().enumerate().map(|(n, client)| client.again(&nodes[(n + 1) % 2])).collect();
        }
    }
    let last = (EVENTS - 1).to_string();
    for client in &mut all {
        client.upto(&last).await;
    }
    // Both take as long: what is asked every second is asked as often.
    tokio::time::sleep_until(begun + Duration::from_secs(6)).await;
    Some(log.traffic().await - before)
}

/// `SSE_ENGINES_CLIENTS` says how many (default 500).
pub(crate) async fn many_clients_are_asked_no_more_for_than_few(kind: Kind) {
    let many = std::env::var("SSE_ENGINES_CLIENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    let Some(few_ask) = asked(kind, 5).await else { return };
    let many_ask = asked(kind, many).await.expect("it is installed");
    println!("{kind:?}: {EVENTS} events on two nodes: {few_ask} for 5 clients, {many_ask} for {many}");
    // Reads that find several events at once are fewer; a slower run has more heads.
    assert!(many_ask < 2 * few_ask + 100, "{few_ask} for 5 clients, {many_ask} for {many}");
}
