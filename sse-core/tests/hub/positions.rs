//! Positions, and caps on replay.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stream_opens_with_its_position_and_renews_it_when_the_log_moves_on() {
    let hub = Hub::builder().max_events(2).build();
    publish(&hub, &["b"], "b");
    let mut client = Client::open(&hub, &["a"], None);
    let messages = client.drain();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].name.as_str(), messages[0].data.as_str()), ("sse-position", "{}"));
    assert_eq!(client.id(), hub.position().to_string());
    // Still within the log: a comment does.
    publish(&hub, &["b"], "b");
    client.drain();
    advance(Duration::from_secs(15)).await;
    assert_eq!(client.drain(), []);
    assert!(client.raw.ends_with(":\n"));
    for _ in 0..5 {
        publish(&hub, &["b"], "b");
    }
    client.drain();
    advance(Duration::from_secs(15)).await;
    assert_eq!(client.drain().len(), 1);
    assert_eq!(client.id(), hub.position().to_string());
    // What is due takes its place.
    assert_eq!(Client::after(&hub, &["b"], hub_start(&hub)).drain()[0].name, "sse-gap");
}

#[tokio::test(start_paused = true)]
async fn positions_can_be_turned_off() {
    let hub = Hub::builder().max_events(2).positions(false).build();
    let mut client = Client::open(&hub, &["a"], None);
    assert_eq!(client.drain(), []);
    let opening: Vec<&str> = client.raw.lines().collect();
    assert_eq!(opening.len(), 2);
    assert!(opening[0] == ":" && opening[1].starts_with("retry: ") && !client.raw.contains("\n\n"));
    for _ in 0..5 {
        publish(&hub, &["b"], "b");
    }
    client.drain();
    advance(Duration::from_secs(15)).await;
    assert_eq!(client.drain(), []);
    assert!(client.raw.ends_with("\n:\n"));
    publish(&hub, &["a"], "a");
    assert_eq!(client.said(), ["a"]);
    // Gaps are told all the same.
    assert_eq!(Client::open(&hub, &["a"], Some("?")).said(), ["unknown:a"]);
}

#[tokio::test]
async fn a_cap_on_replay_ends_the_stream_and_the_next_goes_on() {
    let hub = builder().stream_options(options().max_replay_events(3)).build();
    let start = hub.position();
    let all: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    for n in &all {
        publish(&hub, &["a"], n.clone());
    }
    let mut client = Client::after(&hub, &["a"], start);
    let (mut read, mut connections) = (client.said(), 1);
    while client.ended {
        client = client.again(&hub, &["a"]);
        read.extend(client.said());
        connections += 1;
        assert!(connections < 10, "{read:?}");
    }
    assert_eq!((read, connections), (all, 4));
    // What is new is not replay.
    for n in 0..10 {
        publish(&hub, &["a"], n.to_string());
    }
    assert_eq!(client.said().len(), 10);
    assert!(!client.ended);
}
