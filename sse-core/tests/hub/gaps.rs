//! What follows a gap.

use super::*;

/// Two kept, two lost, and a client from before.
fn with_a_gap(on_gap: OnGap) -> (Hub, Client) {
    let hub = builder().max_events(2).stream_options(options().on_gap(on_gap)).build();
    let start = hub.position();
    for n in 1..5 {
        publish(&hub, &["a"], format!("a{n}"));
    }
    let client = Client::after(&hub, &["a"], start);
    (hub, client)
}

#[tokio::test]
async fn after_a_gap_it_continues_with_what_is_kept() {
    let (hub, mut client) = with_a_gap(OnGap::Continue);
    assert_eq!(client.said(), ["trimmed:a", "a3", "a4"]);
    publish(&hub, &["a"], "a5");
    assert_eq!(client.said(), ["a5"]);
}

#[tokio::test]
async fn after_a_gap_it_goes_on_from_now() {
    let (hub, mut client) = with_a_gap(OnGap::Now);
    let messages = client.drain();
    assert_eq!(messages.iter().map(short).collect::<Vec<_>>(), ["trimmed:a"]);
    assert_eq!(messages[0].last_event_id, hub.position().to_string());
    publish(&hub, &["a"], "a5");
    assert_eq!(client.said(), ["a5"]);
    assert!(!client.ended);
}

#[tokio::test]
async fn after_a_gap_it_closes_and_the_next_goes_on_from_the_gap() {
    let (hub, mut client) = with_a_gap(OnGap::Close);
    assert_eq!(client.said(), ["trimmed:a"]);
    assert!(client.ended);
    assert_eq!(client.id(), hub.position().to_string());
    assert_eq!((hub.stats().subscribers, hub.lifecycle().streams()), (0, 0));
    publish(&hub, &["a"], "a5");
    let mut client = client.again(&hub, &["a"]);
    assert_eq!(client.said(), ["a5"]);
    assert!(!client.ended);

    for id in ["?", "0123456789abcdef-7"] {
        let mut client = Client::open(&hub, &["a"], Some(id));
        assert_eq!(client.said().len(), 1);
        assert!(client.ended && client.id() == hub.position().to_string());
    }
}
