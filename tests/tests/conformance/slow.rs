//! Clients that stop reading.

use std::time::{Duration, Instant};

use sse_core::Hub;
use sse_tests::{
    http,
    servers::{App, Framework},
};

/// 100 MB go past a client that does not read: the log stays within its cap, nobody waits, and when it reads
/// again it gets what is still kept, and one gap for what is not.
pub(crate) async fn a_client_that_stops_reading_costs_the_log_and_no_more(framework: Framework) {
    const CAP: usize = 2 << 20;
    const EVENT: usize = 50_000;
    const EVENTS: usize = 2_000;
    let hub = Hub::builder().max_bytes(CAP).build();
    let server = framework.serve(App::new(hub)).await;
    let mut stalled = http::get(server.addr, "/events").await;
    let mut stalled_text = stalled.until(|text| text.contains("\n\n")).await;
    let mut reader = http::get(server.addr, "/events").await;
    reader.until(|text| text.contains("\n\n")).await;

    let payload = "x".repeat(EVENT);
    let mut longest = Duration::ZERO;
    for n in 0..EVENTS {
        let before = Instant::now();
        server.hub.publish("news", format!("{n}\n{payload}")).await.unwrap();
        assert!(server.hub.stats().bytes <= CAP);
        let needle = format!("data: {n}\n");
        reader.until(|text| text.contains(&needle) && text.ends_with("\n\n")).await;
        longest = longest.max(before.elapsed());
    }
    assert!(longest < Duration::from_secs(5), "a reader waited {longest:?}");

    server.hub.publish("news", "the end").await.unwrap();
    stalled_text += &stalled.until(|text| text.contains("data: the end")).await;
    let seen = http::events(&(stalled_text + "\n\n"));
    let gaps: Vec<usize> =
        seen.iter().enumerate().filter(|(_, seen)| seen.kind == "sse-gap").map(|(index, _)| index).collect();
    assert_eq!(gaps.len(), 1, "one gap");
    let numbers = |seen: &[http::Seen]| -> Vec<usize> {
        seen.iter()
            .filter(|seen| seen.kind == "message")
            .filter_map(|seen| seen.data.split_once('\n')?.0.parse().ok())
            .collect()
    };
    // Before the gap what was on its way, after it all that is still kept, without a hole in either.
    let before = numbers(&seen[..gaps[0]]);
    assert_eq!(before, (0..before.len()).collect::<Vec<_>>());
    let after = numbers(&seen[gaps[0]..]);
    let first = after[0];
    assert_eq!(after, (first..EVENTS).collect::<Vec<_>>());
    assert!(first > before.len() && after.len() >= CAP / EVENT - 2, "{} kept", after.len());
    let gap: serde_json::Value = serde_json::from_str(&seen[gaps[0]].data).unwrap();
    assert_eq!(gap["reason"], "lagged");
    assert_eq!(gap["topics"], serde_json::json!(["news"]));
}
