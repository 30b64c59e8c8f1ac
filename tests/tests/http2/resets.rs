//! Streams that are opened to be reset, and connections that are said to go away.

use std::time::{Duration, Instant};

use sse_core::{Hub, StreamOptions};
use sse_tests::{
    h2::{Connection, Seen, get, go_away, kind, reset},
    servers::{App, Framework},
};
use tokio::time::sleep;

use super::{Target, open};

/// How many streams are opened and reset.
const RESETS: usize = 10_000;

sse_tests::on_each_framework! {
    as_fast_as_they_can_be_sent
    each_after_its_answer_has_begun
    soon_whatever_the_keep_alive_is
    the_client_goes_away_in_mid_stream
    the_client_goes_away_for_an_error
}

/// *Rapid reset* (CVE-2023-44487), on a new connection wherever the server has had enough of one.
async fn as_fast_as_they_can_be_sent(framework: Framework) {
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    let (mut sent, mut connections, mut calm) = (0, 0, 0);
    while sent < RESETS {
        let mut client = target.connect().await;
        connections += 1;
        loop {
            let mut batch = Vec::new();
            for _ in 0..100 {
                let stream = client.stream();
                batch.extend(get(stream, "/events", &[]));
                batch.extend(reset(stream));
            }
            sent += 100;
            let Seen { go_away, is_closed, .. } = client.flood(&batch).await;
            calm += usize::from(go_away == Some(11));
            if go_away.is_some() || is_closed || sent >= RESETS {
                break;
            }
        }
    }
    bystander.is_served(&target).await;
    println!("{framework}: {sent} resets over {connections} connections, {calm} told to be calm");
    drop(bystander);
    target.has_recovered("rapid resets").await;
}

/// So that the server has begun with each, and holds a place for it.
async fn each_after_its_answer_has_begun(framework: Framework) {
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    let mut client = target.connect().await;
    let mut connections = 1;
    for _ in 0..RESETS {
        let stream = client.stream();
        if client.send(&get(stream, "/events", &[])).await.is_err() || !answered(&mut client, stream).await {
            client = target.connect().await;
            connections += 1;
            continue;
        }
        client.send(&reset(stream)).await.ok();
    }
    bystander.is_served(&target).await;
    println!("{framework}: over {connections} connections");
    drop(bystander);
    // The connection stays: it is the streams that have gone.
    target.holds(0).await;
    drop(client);
    target.has_recovered("resets after the head").await;
}

/// Whoever opens streams and leaves them has no place for as long as it is silent on them: what notices it by writing alone
/// writes soon.
async fn soon_whatever_the_keep_alive_is(framework: Framework) {
    let options = StreamOptions::new().keep_alive(Duration::from_secs(600));
    let server = framework.serve(App::new(Hub::builder().stream_options(options).build())).await;
    let mut client = Connection::open(server.addr, &[]).await;
    let streams = open(&mut client, 100, "/events").await;
    let count = || server.hub.lifecycle().streams();
    assert_eq!(count(), 100);
    client.send(&streams.into_iter().flat_map(reset).collect::<Vec<_>>()).await.unwrap();
    let start = Instant::now();
    while count() > 0 {
        assert!(start.elapsed() < super::PATIENCE, "{} are open", count());
        sleep(Duration::from_millis(20)).await;
    }
    println!("{framework}: after {:?}", start.elapsed());
    // The connection is as it was.
    open(&mut client, 1, "/events").await;
}

/// Whether a stream's answer begins; not where the connection ends.
async fn answered(client: &mut Connection, stream: u32) -> bool {
    while let Some(next) = client.next().await {
        match next.kind {
            kind::HEADERS if next.stream == stream => return next.is_ok(),
            kind::GOAWAY => return false,
            _ => {}
        }
    }
    false
}

/// It will take no new streams of the server's; those that are open go on (RFC 9113 §6.8). actix-web's h2 0.3 ends the
/// connection.
async fn the_client_goes_away_in_mid_stream(framework: Framework) {
    let target = Target::start(framework).await;
    let mut client = target.connect().await;
    let streams = open(&mut client, 20, "/events").await;
    client.send(&go_away(0)).await.unwrap();
    if framework == Framework::Actix {
        client
            .closed()
            .await
            .expect("it is closed: otherwise actix-web goes on now, say so in the documents");
        return target.has_recovered("a client that goes away").await;
    }
    let (_, published) = target.server.publish("news", 100, 1).await;
    for _ in streams {
        let id = published[0].as_bytes();
        let holds = |payload: &[u8]| payload.windows(id.len()).any(|part| part == id);
        client.until(|next| next.kind == kind::DATA && holds(&next.payload)).await;
    }
    target.holds(20).await;
    drop(client);
    target.has_recovered("a client that goes away").await;
}

/// Whether or not the server ends the connection then, nothing is left once the client has gone.
async fn the_client_goes_away_for_an_error(framework: Framework) {
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    let mut clients = Vec::new();
    for code in [1, 2, 8, 11, u32::MAX] {
        let mut client = target.connect().await;
        open(&mut client, 20, "/events").await;
        client.send(&go_away(code)).await.unwrap();
        clients.push(client);
    }
    target.server.publish("news", 100, 1).await;
    bystander.is_served(&target).await;
    drop(clients);
    target.holds(1).await;
    drop(bystander);
    target.has_recovered("a client that goes away for an error").await;
}
