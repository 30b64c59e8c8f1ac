//! Frames that cost their sender little and are to be answered.

use std::time::Duration;

use sse_tests::{
    h2::{INITIAL_WINDOW_SIZE, flag, frame, kind, settings},
    servers::Framework,
};
use tokio::time::timeout;

use super::{Target, open};

sse_tests::on_each_framework! {
    pings
    pings_whose_answers_nobody_reads
    settings_again_and_again
    data_that_is_empty
}

async fn flooded(framework: Framework, name: &str, bytes: &[u8]) {
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    let mut client = target.connect().await;
    open(&mut client, 5, "/events").await;
    let seen = client.flood(bytes).await;
    bystander.is_served(&target).await;
    println!("{framework} {name}: {seen:?}");
    drop((client, bystander));
    target.has_recovered(name).await;
}

async fn pings(framework: Framework) {
    flooded(framework, "pings", &frame(kind::PING, 0, 0, b"12345678").repeat(200_000)).await;
}

/// The server stops reading rather than keep what it cannot send.
async fn pings_whose_answers_nobody_reads(framework: Framework) {
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    let mut client = target.connect().await;
    open(&mut client, 5, "/events").await;
    let batch = frame(kind::PING, 0, 0, b"12345678").repeat(10_000);
    let mut sent = 0;
    // More than the sockets hold, whose buffers grow to some megabytes.
    while sent < 200
        && timeout(Duration::from_secs(2), client.send(&batch)).await.is_ok_and(|sent| sent.is_ok())
    {
        sent += 1;
    }
    assert!(sent < 200, "the server has read {sent}0000 pings, and sends no answer");
    bystander.is_served(&target).await;
    target.server.idle().await.unwrap();
    let memory = target.server.memory();
    assert!(memory < target.before + super::KEPT, "{} KiB have become {memory}", target.before);
    drop((client, bystander));
    target.has_recovered("pings whose answers nobody reads").await;
}

async fn settings_again_and_again(framework: Framework) {
    let both = [settings(&[(INITIAL_WINDOW_SIZE, 0)]), settings(&[(INITIAL_WINDOW_SIZE, 70_000)])].concat();
    flooded(framework, "settings", &both.repeat(20_000)).await;
}

/// For a stream whose request is not whole yet.
async fn data_that_is_empty(framework: Framework) {
    let mut bytes = frame(kind::HEADERS, flag::END_HEADERS, 11, &sse_tests::h2::block("/events", &[]));
    bytes.extend(frame(kind::DATA, 0, 11, &[]).repeat(100_000));
    flooded(framework, "empty data", &bytes).await;
}
