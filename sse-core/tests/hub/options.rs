//! What one endpoint has otherwise than the hub.

use super::*;

const PING: EventName = EventName::from_static("ping");

#[tokio::test(start_paused = true)]
async fn a_gap_is_followed_as_the_endpoint_says() {
    let hub = builder().max_events(2).build();
    let start = hub.position().to_string();
    for n in 0..5 {
        publish(&hub, &["a"], n.to_string());
    }
    for (on_gap, expected, ended) in [
        (OnGap::Continue, &["trimmed:a", "3", "4"][..], false),
        (OnGap::Now, &["trimmed:a"], false),
        (OnGap::Close, &["trimmed:a"], true),
    ] {
        let mut client = Client::open_with(&hub, &["a"], Some(&start), options().on_gap(on_gap));
        assert_eq!(client.said(), expected, "{on_gap:?}");
        assert_eq!(client.ended, ended, "{on_gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_capped_as_the_endpoint_says() {
    let hub = builder().build();
    let start = hub.position().to_string();
    for n in 0..10 {
        publish(&hub, &["a"], format!("{n}{}", "x".repeat(99)));
    }
    let read = |options| {
        let mut client = Client::open_with(&hub, &["a"], Some(&start), options);
        (client.said().len(), client.ended)
    };
    assert_eq!(read(options().max_replay_events(3)), (3, true));
    assert_eq!(read(options().max_replay_events(0)), (1, true));
    assert_eq!(read(options().max_replay_bytes(500)), (3, true));
    assert_eq!(read(options().max_replay_bytes(0)), (1, true));
    assert_eq!(read(options().max_replay_events(5).max_replay_bytes(300)), (2, true));
    assert_eq!(read(options().max_replay_events(10)), (10, false));
    assert_eq!(read(options().max_replay_events(usize::MAX).max_replay_bytes(usize::MAX)), (10, false));
}

/// Without a word about caps: what an old id brings is bounded, and the rest comes with the next connections, whole.
#[tokio::test(start_paused = true)]
async fn a_replay_is_capped_where_nobody_says_otherwise() {
    let hub = builder().max_events(30_000).build();
    let mut id = hub.position().to_string();
    let mut published = Vec::new();
    let mut say = |count: usize, len: usize| {
        for _ in 0..count {
            let text = format!("{}-{}", published.len(), "x".repeat(len));
            publish(&hub, &["a"], text.as_str());
            published.push(text);
        }
    };
    say(40, 100_000);
    say(12_000, 1);
    let mut seen = Vec::new();
    let mut rounds = Vec::new();
    loop {
        let mut client = Client::open(&hub, &["a"], Some(&id));
        let said = client.said();
        rounds.push((said.len(), said.iter().map(String::len).sum::<usize>()));
        seen.extend(said);
        client.id().clone_into(&mut id);
        if !client.ended {
            break;
        }
    }
    assert!(seen == published, "{} of {}: {rounds:?}", seen.len(), published.len());
    // Now it is the bytes that end a round, now the events.
    assert!(rounds[..3].iter().all(|round| round.0 == 10), "{rounds:?}");
    assert!(rounds.iter().any(|round| round.0 == 10_000), "{rounds:?}");
    assert!(rounds.iter().all(|&(events, bytes)| events <= 10_000 && bytes <= 1 << 20), "{rounds:?}");
    // Nobody would come back for what is read on this side.
    let mut reader = hub.subscribe("a", Start::Oldest).unwrap();
    for text in &published {
        assert_eq!(reader.next().await.unwrap().data(), text.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_treated_as_the_endpoint_says() {
    for (on_lag, on_gap, lagging, ended, back) in [
        (OnLag::Gap, OnGap::Continue, &["lagged:a", "3", "4"][..], false, &[][..]),
        (OnLag::Gap, OnGap::Now, &["lagged:a"], false, &[]),
        (OnLag::Gap, OnGap::Close, &["lagged:a"], true, &[]),
        (OnLag::Now, OnGap::Continue, &["lagged:a"], false, &[]),
        (OnLag::Now, OnGap::Close, &["lagged:a"], false, &[]),
        (OnLag::Reconnect, OnGap::Continue, &[], true, &["trimmed:a", "3", "4"]),
        (OnLag::Reconnect, OnGap::Now, &[], true, &["trimmed:a"]),
    ] {
        // Without positions too: whoever is sent away has an id.
        for positions in [true, false] {
            let hub = builder().positions(positions).max_events(2).build();
            let options = options().on_lag(on_lag).on_gap(on_gap);
            let mut client = Client::open_with(&hub, &["a"], None, options.clone());
            client.drain();
            for n in 0..5 {
                publish(&hub, &["a"], n.to_string());
            }
            assert_eq!(client.said(), lagging, "{on_lag:?} {on_gap:?}");
            assert_eq!(client.ended, ended, "{on_lag:?} {on_gap:?}");
            let mut client = Client::open_with(&hub, &["a"], Some(client.id()), options);
            assert_eq!(client.said(), back, "{on_lag:?} {on_gap:?}");
            publish(&hub, &["a"], "5");
            assert_eq!(client.said(), ["5"], "{on_lag:?} {on_gap:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_alive_by_an_event() {
    let hub = Hub::builder().max_events(2).build();
    let options = StreamOptions::new().keep_alive_event(Event::new("{}").named(PING));
    let mut client = Client::open_with(&hub, &["a"], None, options);
    client.drain();
    for _ in 0..3 {
        advance(Duration::from_secs(15)).await;
        let messages = client.drain();
        assert_eq!(messages.len(), 1);
        assert_eq!((messages[0].name.as_str(), messages[0].data.as_str()), ("ping", "{}"));
    }
    // Where a position is due, both.
    for _ in 0..5 {
        publish(&hub, &["b"], "b");
    }
    client.drain();
    advance(Duration::from_secs(15)).await;
    let names: Vec<String> = client.drain().into_iter().map(|message| message.name).collect();
    assert_eq!(names, ["sse-position", "ping"]);
    assert_eq!(client.id(), hub.position().to_string());
}

/// Whatever it is: an id of its own would send the client back to nowhere.
#[tokio::test(start_paused = true)]
async fn what_keeps_alive_leaves_the_position_alone() {
    let hub = Hub::builder().build();
    let ping = Event::new("{}").named(PING).id("mine").unwrap();
    for (keep_alive, expected) in
        [(Frame::from(ping), "event: ping\ndata: {}\n\n"), (Frame::comment("alive"), ": alive\n")]
    {
        let mut client =
            Client::open_with(&hub, &["a"], None, StreamOptions::new().keep_alive_event(keep_alive));
        client.drain();
        let before = client.raw.len();
        advance(Duration::from_secs(15)).await;
        client.drain();
        assert_eq!(&client.raw[before..], expected);
        assert_eq!(client.id(), hub.position().to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_kept_alive() {
    let hub = Hub::builder().max_events(2).build();
    let mut client = Client::open_with(&hub, &["a"], None, StreamOptions::new().no_keep_alive());
    client.drain();
    let before = client.raw.len();
    for _ in 0..10 {
        advance(Duration::from_secs(15)).await;
        client.drain();
    }
    assert_eq!(client.raw.len(), before);
    // But for the position without which it would lose something.
    for _ in 0..5 {
        publish(&hub, &["b"], "b");
    }
    client.drain();
    advance(Duration::from_secs(15)).await;
    assert_eq!(client.drain().len(), 1);
    assert_eq!(client.id(), hub.position().to_string());
    publish(&hub, &["a"], "a");
    assert_eq!(client.said(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_before_there_is_something_to_say() {
    let hub = Hub::builder().positions(false).build();
    let options = StreamOptions::new().opening_comment(false).no_retry();
    let mut client = Client::open_with(&hub, &["a"], None, options.clone());
    assert_eq!((client.drain(), client.raw.as_str()), (vec![], ""));
    publish(&hub, &["a"], "a");
    client.drain();
    assert!(client.raw.starts_with("data: a\nid: "), "{}", client.raw);
    // It is kept alive all the same, and ends without a word.
    let mut quiet = Client::open_with(&hub, &["a"], None, options);
    quiet.drain();
    advance(Duration::from_secs(15)).await;
    quiet.drain();
    assert_eq!(quiet.raw, ":\n");
    hub.lifecycle().stop();
    quiet.drain();
    assert_eq!((quiet.raw.as_str(), quiet.ended), (":\n", true));
}

#[tokio::test(start_paused = true)]
async fn an_opening_has_what_is_asked_for() {
    let hub = Hub::builder().positions(false).build();
    let opening = |options| {
        let mut client = Client::open_with(&hub, &["a"], None, options);
        client.drain();
        client.raw
    };
    assert_eq!(opening(StreamOptions::new().no_retry()), ":\n");
    let retry = opening(StreamOptions::new().opening_comment(false));
    assert!(retry.starts_with("retry: "), "{retry}");
    assert_eq!(retry.lines().count(), 1);
}
