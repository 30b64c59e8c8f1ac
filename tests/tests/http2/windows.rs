//! Windows that stay shut, open late, or are opened too far.

use std::collections::HashMap;

use sse_tests::{
    h2::{self, INITIAL_WINDOW_SIZE, flag, kind, settings, window},
    http,
    servers::Framework,
};

use super::{Target, open};

const STREAMS: usize = 20;

sse_tests::on_each_framework! {
    shut_for_ever_they_hold_up_no_stop
    the_connections_shut_for_ever_holds_up_no_stop
    grown_late_everything_comes
    grown_and_shrunk_again_and_again_nothing_is_lost
    grown_too_far_the_connection_ends
}

async fn shut_for_ever_they_hold_up_no_stop(framework: Framework) {
    let target = Target::start(framework).await;
    let mut client = target.connect_shut().await;
    open(&mut client, STREAMS, "/events").await;
    target.server.publish("news", 10_000, 100).await;
    let mut bystander = target.bystander().await;
    bystander.is_served(&target).await;
    target.holds(STREAMS + 1).await;
    target.server.idle().await.unwrap();
    assert!(target.server.stop().await.success());
}

/// That of the connection, which all its streams share: 64 KiB, and never more.
async fn the_connections_shut_for_ever_holds_up_no_stop(framework: Framework) {
    let target = Target::start(framework).await;
    let mut client = target.connect().await;
    client.send(&settings(&[(INITIAL_WINDOW_SIZE, 1 << 20)])).await.unwrap();
    open(&mut client, STREAMS, "/events").await;
    target.server.publish("news", 10_000, 100).await;
    let mut bystander = target.bystander().await;
    bystander.is_served(&target).await;
    target.holds(STREAMS + 1).await;
    target.server.idle().await.unwrap();
    assert!(target.server.stop().await.success());
}

/// What every stream is sent, until each has the event with this id.
async fn read_all(client: &mut h2::Connection, streams: &[u32], last: &str) -> HashMap<u32, String> {
    let mut texts: HashMap<u32, String> = streams.iter().map(|stream| (*stream, String::new())).collect();
    let mut missing = streams.len();
    let end = format!("id: {last}\n\n");
    while missing > 0 {
        let next = client.until(|next| next.kind == kind::DATA).await;
        assert!(!next.ends_stream());
        let text = texts.get_mut(&next.stream).unwrap();
        text.push_str(std::str::from_utf8(&next.payload).unwrap());
        missing -= usize::from(text.ends_with(&end));
        // As much may be sent again.
        client.send(&window(0, u32::try_from(next.payload.len().max(1)).unwrap())).await.unwrap();
    }
    texts
}

fn ids(text: &str) -> Vec<String> {
    let events = http::events(text).into_iter().filter(|seen| seen.kind == "message");
    events.filter_map(|seen| seen.id).collect()
}

async fn grown_late_everything_comes(framework: Framework) {
    let target = Target::start(framework).await;
    let mut client = target.connect_shut().await;
    let streams = open(&mut client, STREAMS, "/events").await;
    let (_, published) = target.server.publish("news", 1_000, 300).await;
    // What is sent now is nothing of the streams': a ping comes back before any of it.
    client.send(&h2::frame(kind::PING, 0, 0, b"12345678")).await.unwrap();
    loop {
        let next = client.next().await.unwrap();
        assert!(next.kind != kind::DATA || next.payload.is_empty(), "{next:?}");
        if next.kind == kind::PING && next.flags & flag::ACK != 0 {
            break;
        }
    }
    all_comes_once_they_are_wide(client, &streams, &published).await;
    target.has_recovered("windows grown late").await;
}

/// Opens the windows wide, and holds what each stream is sent in all against what was published.
async fn all_comes_once_they_are_wide(mut client: h2::Connection, streams: &[u32], published: &[String]) {
    client.send(&settings(&[(INITIAL_WINDOW_SIZE, 1 << 24)])).await.unwrap();
    for (stream, text) in read_all(&mut client, streams, published.last().unwrap()).await {
        assert_eq!(ids(&text), published, "stream {stream}");
    }
}

/// To less than was sent already, too: then a window is below zero.
async fn grown_and_shrunk_again_and_again_nothing_is_lost(framework: Framework) {
    const ROUNDS: u32 = 200;
    let target = Target::start(framework).await;
    let mut client = target.connect_shut().await;
    let streams = open(&mut client, STREAMS, "/events").await;
    let mut published = Vec::new();
    for round in 1..=ROUNDS {
        published.extend(target.server.publish("news", 500, 2).await.1);
        client.send(&settings(&[(INITIAL_WINDOW_SIZE, round * 700)])).await.unwrap();
        client.send(&settings(&[(INITIAL_WINDOW_SIZE, round % 7)])).await.unwrap();
    }
    all_comes_once_they_are_wide(client, &streams, &published).await;
    target.has_recovered("windows grown and shrunk").await;
}

/// More than a window can be is an error of the connection (RFC 9113 §6.9.1), and the end of all its streams.
async fn grown_too_far_the_connection_ends(framework: Framework) {
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    for _ in 0..20 {
        let mut client = target.connect_shut().await;
        open(&mut client, STREAMS, "/events").await;
        client.send(&[window(0, (1 << 31) - 1), window(0, (1 << 31) - 1)].concat()).await.unwrap();
        assert_eq!(
            client.until(|next| next.kind == kind::GOAWAY).await.code(),
            Some(3),
            "FLOW_CONTROL_ERROR"
        );
        target.holds(1).await;
    }
    bystander.is_served(&target).await;
    drop(bystander);
    target.has_recovered("windows grown too far").await;
}
