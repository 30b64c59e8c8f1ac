//! `sse_warp::serve`, where it is more than another framework's server.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use sse_tests::http;
use sse_warp::{Error, Event, EventStream, Hub, Lifecycle, PeerAddr, Sse, SseRequest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};
use warp::{Filter, Reply, filters::BoxedFilter};

const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of an event, where many are given.
const EVENT: usize = 1000;

/// `/` says who asks, twice: as the library knows it, and as a filter of the application's finds it.
fn routes(lifecycle: &Lifecycle) -> BoxedFilter<(impl Reply + use<>,)> {
    let peer = warp::ext::optional::<PeerAddr>();
    let say = |request: SseRequest, peer: Option<PeerAddr>| {
        format!("{:?} {:?}", request.peer(), peer.map(|PeerAddr(addr)| addr))
    };
    warp::path::end().and(sse_warp::request(lifecycle)).and(peer).map(say).boxed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_address_is_seen() {
    let lifecycle = Lifecycle::new();
    let listener = sse_warp::listener("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(sse_warp::serve(warp::service(routes(&lifecycle)), &lifecycle).run(listener));
    let mut client = TcpStream::connect(addr).await.unwrap();
    let own = client.local_addr().unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&format!("Some({own}) Some({own})")), "{answer}");
    lifecycle.stop();
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_any_kind_are_served_and_their_end_is_the_servers() {
    let lifecycle = Lifecycle::new();
    let (connect, connections) = mpsc::channel::<io::Result<(DuplexStream, Option<SocketAddr>)>>(1);
    let connections = futures_util::stream::unfold(connections, |mut connections| async {
        connections.recv().await.map(|connection| (connection, connections))
    });
    let service = warp::service(routes(&lifecycle));
    let server = tokio::spawn(sse_warp::serve(service, &lifecycle).run_on(connections.boxed()));
    // Neither what could not be accepted nor what breaks at once is the end.
    connect.send(Err(io::Error::other("none left"))).await.unwrap();
    connect.send(Ok((tokio::io::duplex(10).0, None))).await.unwrap();
    let (mut client, connection) = tokio::io::duplex(1000);
    connect.send(Ok((connection, None))).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.ends_with("None None"), "{answer}");
    assert!(!server.is_finished());
    drop(connect);
    timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(lifecycle.is_stopping());
}

/// A client that dawdles in a handshake is closed, and nobody waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_takes_no_longer_than_a_head() {
    let lifecycle = Lifecycle::new();
    let listener = sse_warp::listener("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let service = warp::service(routes(&lifecycle));
    let server = sse_warp::serve(service, &lifecycle).head_timeout(Duration::from_secs(1));
    // In place of TLS: a word, to be said first.
    let server = tokio::spawn(server.run_with(listener, |mut socket| async {
        let mut word = [0; 4];
        socket.read_exact(&mut word).await?;
        if &word == b"well" { Ok(socket) } else { Err(io::Error::other("not well")) }
    }));
    let mut silent = TcpStream::connect(addr).await.unwrap();
    let mut wrong = TcpStream::connect(addr).await.unwrap();
    wrong.write_all(b"hello").await.unwrap();
    let mut right = TcpStream::connect(addr).await.unwrap();
    right.write_all(b"wellGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, right.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for client in [&mut wrong, &mut silent] {
        let mut answer = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("it is still waited for").ok();
        assert!(answer.is_empty());
    }
    lifecycle.stop();
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
}

/// An answer under way when the server stops arrives whole, and an idle connection holds nothing up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_under_way_is_finished() {
    let hub = Hub::new();
    let slow = warp::path!("slow").then(|| async {
        sleep(Duration::from_secs(1)).await;
        "whole"
    });
    let listener = sse_warp::listener("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(sse_warp::serve(warp::service(slow), &hub).run(listener));
    let idle = TcpStream::connect(addr).await.unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(300)).await;
    hub.lifecycle().stop();
    let mut answer = String::new();
    timeout(PATIENCE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.ends_with("whole"), "{answer}");
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(addr).await.is_err(), "it still listens");
    drop(idle);
}

/// While the last answers are under way, whoever comes is refused, and does not wait for somebody who no longer accepts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_let_wait_who_comes_while_the_server_ends() {
    let hub = Hub::new();
    let never = warp::path!("never").then(|| async {
        std::future::pending::<()>().await;
        ""
    });
    let listener = sse_warp::listener("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(sse_warp::serve(warp::service(never), &hub).run(listener));
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(300)).await;
    hub.lifecycle().stop();
    let refused = async {
        while TcpStream::connect(addr).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("it still listens");
    assert!(!server.is_finished(), "an answer is under way");
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
    drop(client);
}

/// The shortest and the longest that can be written, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_have_any_time() {
    for time in [Some(Duration::ZERO), Some(Duration::MAX), None] {
        for http2 in [false, true] {
            let lifecycle = Lifecycle::new();
            let listener = sse_warp::listener("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let server = sse_warp::serve(warp::service(routes(&lifecycle)), &lifecycle).head_timeout(time);
            let server = if http2 { server.http2() } else { server };
            let server = tokio::spawn(server.run(listener));
            let mut answer = http::get(addr, "/").await;
            assert!(answer.rest().await.contains("127.0.0.1"), "{time:?} {http2}");
            lifecycle.stop();
            timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
        }
    }
}

/// What takes longer than the server waits for is cut, not left to a runtime that may go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_is_cut() {
    let hub = Hub::new();
    let never = warp::path!("never").then(|| async {
        std::future::pending::<()>().await;
        Ok::<_, Infallible>("")
    });
    let listener = sse_warp::listener("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let never = never.map(|reply: Result<&'static str, Infallible>| reply.unwrap_or_default());
    let server = tokio::spawn(sse_warp::serve(warp::service(never), &hub).run(listener));
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(300)).await;
    hub.lifecycle().stop();
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
    timeout(PATIENCE, client.read_to_end(&mut Vec::new())).await.expect("it is still open").ok();
}

/// HTTP/2 is there by choice: without it the preface is a request that cannot be understood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_a_choice() {
    for http2 in [false, true] {
        let lifecycle = Lifecycle::new();
        let listener = sse_warp::listener("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = sse_warp::serve(warp::service(routes(&lifecycle)), &lifecycle);
        let server = if http2 { server.http2() } else { server };
        let server = tokio::spawn(server.run(listener));
        let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        let answer = client.get(format!("http://{addr}/")).send().await;
        assert_eq!(answer.is_ok(), http2);
        if let Ok(answer) = answer {
            assert!(answer.text().await.unwrap().contains("127.0.0.1"));
        }
        // Both speak HTTP/1.1.
        let mut answer = http::get(addr, "/").await;
        assert!(answer.rest().await.contains("127.0.0.1"));
        drop(client);
        lifecycle.stop();
        timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
    }
}

/// A client that takes nothing: what the server has of the body meanwhile is bounded, on whatever kind of connection.
#[tokio::test]
async fn a_client_that_reads_nothing_has_the_server_hold_little() {
    for http2_too in [false, true] {
        let lifecycle = Lifecycle::new();
        let given = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&given);
        let endless = move |request: SseRequest| -> Result<_, Error> {
            let given = Arc::clone(&counted);
            let events = futures_util::stream::repeat_with(move || {
                given.fetch_add(EVENT, Ordering::Relaxed);
                Event::new("x".repeat(EVENT))
            });
            Ok(Sse(EventStream::open(&request, events)?))
        };
        let routes = warp::path::end().and(sse_warp::request(&lifecycle)).map(endless);
        let (mut client, connection) = tokio::io::duplex(1000);
        let connections =
            futures_util::stream::iter([Ok((connection, None))]).chain(futures_util::stream::pending());
        let server = sse_warp::serve(warp::service(routes), &lifecycle);
        let server = if http2_too { server.http2() } else { server };
        let server = tokio::spawn(server.run_on(connections));
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        // Its first bytes are there, and nobody takes the rest: all that may happen does, in this one thread.
        client.read_exact(&mut [0; 12]).await.unwrap();
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        let held = given.load(Ordering::Relaxed);
        assert!((1000..128 << 10).contains(&held), "{held}");
        // All that it waited for is the client.
        let mut taken = 0;
        while taken < 1 << 20 {
            taken += timeout(PATIENCE, client.read(&mut [0; 4096])).await.unwrap().unwrap();
        }
        server.abort();
    }
}

/// As long as those that hold a token and many cookies, and not for ever.
#[tokio::test]
async fn a_head_may_be_long_but_not_endless() {
    for (length, status) in [(62 << 10, "200"), (180 << 10, "431")] {
        let lifecycle = Lifecycle::new();
        let (mut client, connection) = tokio::io::duplex(200_000);
        let connections =
            futures_util::stream::iter([Ok((connection, None))]).chain(futures_util::stream::pending());
        let server =
            tokio::spawn(sse_warp::serve(warp::service(routes(&lifecycle)), &lifecycle).run_on(connections));
        let cookies = "x".repeat(length / 4);
        let head = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n",
            format!("Cookie: {cookies}\r\n").repeat(4)
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        timeout(PATIENCE, client.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), format!("HTTP/1.1 {status}"));
        server.abort();
    }
}
