//! A server that has no descriptors left. In a process of its own, whose limit is lowered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]
#![cfg(target_os = "linux")]

use std::{fs::File, time::Duration};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use sse_warp::Lifecycle;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use warp::Filter;

const PATIENCE: Duration = Duration::from_secs(20);

/// The processor time of this process so far. Takes no descriptor.
fn spent() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warp_waits_until_there_are_some() {
    let lifecycle = Lifecycle::new();
    let listener = sse_warp::listener("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let routes = warp::path::end().map(|| "there");
    let server = tokio::spawn(sse_warp::serve(warp::service(routes), &lifecycle).run(listener));
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    // What the process needs once, it does not need below.
    let mut first = TcpStream::connect(addr).await.unwrap();
    first.write_all(request).await.unwrap();
    first.read_to_end(&mut Vec::new()).await.unwrap();
    drop(first);

    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    assert!(taken.len() > 10, "there were none left before");
    // The client takes the last one, so the server has none for it.
    taken.pop();
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(request).await.unwrap();
    let before = spent();
    let mut answer = [0; 12];
    assert!(timeout(Duration::from_secs(2), client.read(&mut answer)).await.is_err(), "it was accepted");
    // It has not tried without pause.
    let spent = spent() - before;
    assert!(spent < Duration::from_secs(1), "{spent:?} of a processor in two seconds");
    assert!(!server.is_finished(), "the server has ended");

    drop(taken);
    timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("it is accepted").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    lifecycle.stop();
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
}
