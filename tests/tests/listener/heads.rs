//! Clients that do not finish, or do not begin, the head of a request.

use std::time::Duration;

use sse_core::Hub;
use sse_tests::{
    http,
    servers::{App, Framework},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);

// Rocket 0.5 turns hyper's time-out off, and has no setting: `rocket_has_none` says when that changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actix_cuts_slow_heads() {
    slow_heads_are_cut(Framework::Actix).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warp_cuts_slow_heads() {
    slow_heads_are_cut(Framework::Warp).await;
}

async fn slow_heads_are_cut(framework: Framework) {
    // actix-web has five seconds of its own.
    let head_timeout = Some(Duration::from_secs(1));
    let server = framework.serve(App { head_timeout, ..App::new(Hub::new()) }).await;
    // The second may yet be HTTP/2.
    for begun in ["GET /events HTTP/1.1\r\nHost: ", "PRI * HT", ""] {
        // Nothing is due of who has sent nothing: actix-web lets that one be.
        if framework == Framework::Actix && begun.len() < 10 {
            continue;
        }
        let mut client = TcpStream::connect(server.addr).await.unwrap();
        client.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = timeout(PATIENCE, client.read_to_end(&mut answer)).await;
        end.unwrap_or_else(|_| panic!("{begun:?} is still waited for")).ok();
    }
}

/// Not a byte at a time either, however long that goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warp_cuts_heads_that_trickle() {
    let head_timeout = Some(Duration::from_secs(1));
    let server = Framework::Warp.serve(App { head_timeout, ..App::new(Hub::new()) }).await;
    let client = TcpStream::connect(server.addr).await.unwrap();
    let (mut read, mut write) = client.into_split();
    let trickle = tokio::spawn(async move {
        let head = format!("GET /events HTTP/1.1\r\nHost: {}", "x".repeat(10_000));
        for byte in head.bytes() {
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    timeout(PATIENCE, read.read_to_end(&mut Vec::new())).await.expect("it is still waited for").ok();
    trickle.abort();
}

/// The time is that of the head: a stream that is silent for longer goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_on_warp_outlives_the_time_for_heads() {
    let head_timeout = Some(Duration::from_secs(1));
    let server = Framework::Warp.serve(App { head_timeout, ..App::new(Hub::new()) }).await;
    let mut stream = http::get(server.addr, "/events").await;
    stream.until(|text| text.contains("\n\n")).await;
    assert!(stream.is_silent_for(Duration::from_secs(3)).await);
    server.hub.publish("news", "late").await.unwrap();
    stream.until(|text| text.contains("data: late")).await;
}

/// What the documents say of Rocket. Should this fail, it has learned it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rocket_has_none() {
    let server = Framework::Rocket.serve(App::new(Hub::new())).await;
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    client.write_all(b"GET /events HTTP/1.1\r\nHost: ").await.unwrap();
    let end = timeout(Duration::from_secs(8), client.read_to_end(&mut Vec::new())).await;
    assert!(end.is_err(), "Rocket cuts slow heads now: say so in the documents");
}
