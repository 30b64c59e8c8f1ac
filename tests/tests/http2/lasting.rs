//! Connections with many streams, and those with none that stay.

use std::time::Duration;

use sse_tests::{
    h2::{Connection, flag, kind},
    servers::Framework,
};
use tokio::time::timeout;

use super::{PATIENCE, Target, open};

sse_tests::on_each_framework! {
    two_hundred_streams_have_the_places_of_two_hundred
    what_one_connection_may_bear
    a_connection_without_streams_holds_up_no_stop
    a_connection_that_answers_no_ping_is_closed
}

/// The one over the limit is answered, and costs the others nothing.
async fn two_hundred_streams_have_the_places_of_two_hundred(framework: Framework) {
    // One more than warp lets one connection have at a time is kept out by that, not by the limit.
    const STREAMS: usize = 199;
    let target = Target::start_with(framework, Some(STREAMS)).await;
    let mut client = target.connect().await;
    let streams = open(&mut client, STREAMS, "/events").await;
    target.holds(STREAMS).await;
    for _ in 0..50 {
        let over = client.get("/events", &[]).await;
        let answer = client.until(|next| next.stream == over && next.kind == kind::HEADERS).await;
        assert!(!answer.is_ok(), "there was a place");
        client.until(|next| next.stream == over && next.ends_stream()).await;
    }
    // Another connection finds no place either.
    let mut other = target.connect().await;
    other.get("/events", &[]).await;
    assert!(!other.until(|next| next.kind == kind::HEADERS).await.is_ok());
    client.send(&sse_tests::h2::reset(streams[0])).await.unwrap();
    target.holds(STREAMS - 1).await;
    let (_, published) = target.server.publish("news", 100, 1).await;
    let id = published[0].as_bytes();
    for _ in 1..STREAMS {
        let holds = |payload: &[u8]| payload.windows(id.len()).any(|part| part == id);
        client.until(|next| next.kind == kind::DATA && holds(&next.payload)).await;
    }
    drop((client, other));
    target.has_recovered("as many streams as there may be").await;
}

/// Without limits of ours: warp's server refuses more than 200 at a time, the others take what comes. Of somebody who is
/// refused more than a thousand times hyper has had enough.
async fn what_one_connection_may_bear(framework: Framework) {
    const STREAMS: usize = 1_000;
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    let mut client = target.connect().await;
    let mut answered = 0;
    for _ in 0..STREAMS {
        client.get("/events", &[]).await;
    }
    for _ in 0..STREAMS {
        let next = client.until(|next| matches!(next.kind, kind::HEADERS | kind::RST_STREAM)).await;
        answered += usize::from(next.is_ok());
    }
    assert_eq!(answered, if framework == Framework::Warp { 200 } else { STREAMS });
    target.holds(answered + 1).await;
    bystander.is_served(&target).await;
    drop((client, bystander));
    target.has_recovered("streams on one connection").await;
}

/// It takes no place, and nobody waits for it.
async fn a_connection_without_streams_holds_up_no_stop(framework: Framework) {
    let target = Target::start(framework).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = target.connect().await;
        client.until(|next| next.kind == kind::SETTINGS).await;
        clients.push(client);
    }
    target.holds(0).await;
    target.server.idle().await.unwrap();
    let stopping = tokio::spawn(target.server.stop());
    // They go on answering.
    let all = clients.into_iter().map(|client| tokio::spawn(answers_pings(client))).collect::<Vec<_>>();
    assert!(stopping.await.unwrap().success());
    for client in all {
        client.await.unwrap();
    }
}

/// Until the connection is closed.
async fn answers_pings(mut client: Connection) {
    while client.next().await.is_some() {}
}

/// It is closed after its framework's time: 10 s, 25 s and 40 s. One that answers stays.
async fn a_connection_that_answers_no_ping_is_closed(framework: Framework) {
    let target = Target::start(framework).await;
    let mut answers = target.connect().await;
    let silent = target.connect().await;
    let end = tokio::spawn(timeout(2 * PATIENCE, silent.closed_unanswered()));
    let mut pings = 0;
    while !end.is_finished() {
        if let Ok(next) = timeout(Duration::from_millis(100), answers.next()).await {
            let next = next.expect("one that answers stays");
            pings += usize::from(next.kind == kind::PING && next.flags & flag::ACK == 0);
        }
    }
    end.await.unwrap().expect("it is still open");
    assert!(pings > 0, "nobody was asked");
    drop(answers);
    target.has_recovered("connections without streams").await;
}
