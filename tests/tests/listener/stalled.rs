//! Clients that read nothing.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use sse_core::{Event, Hub, ListenOptions};
use sse_tests::servers::{App, Framework, OwnStream, Server};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

sse_tests::on_each_framework! {
    a_client_that_reads_nothing_is_cut
    a_client_that_reads_now_and_then_is_not
    a_client_that_reads_nothing_holds_up_no_end
}

/// More than any socket holds, at once.
fn flood(_: &str) -> OwnStream {
    Box::pin(futures_util::stream::repeat_with(|| Ok(Event::new("x".repeat(4000)))))
}

async fn serve(framework: Framework, listen: ListenOptions) -> Server {
    framework.serve(App { listen, own: flood, ..App::new(Hub::new()) }).await
}

/// One that asks for the flood and holds little itself.
async fn asks(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut client = socket.connect(addr).await.unwrap();
    client.write_all(b"GET /own/flood HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    client
}

async fn streams_become(server: &Server, wanted: usize, within: Duration) -> bool {
    let start = Instant::now();
    while server.hub.lifecycle().streams() != wanted {
        if start.elapsed() > within {
            return false;
        }
        sleep(Duration::from_millis(10)).await;
    }
    true
}

async fn a_client_that_reads_nothing_is_cut(framework: Framework) {
    let server = serve(framework, ListenOptions::new().user_timeout(Duration::from_secs(1))).await;
    let client = asks(server.addr).await;
    assert!(streams_become(&server, 1, PATIENCE).await);
    assert!(streams_become(&server, 0, PATIENCE).await, "its stream is still open");
    drop(client);
}

/// It is only whoever takes nothing at all for that long.
async fn a_client_that_reads_now_and_then_is_not(framework: Framework) {
    let server = serve(framework, ListenOptions::new().user_timeout(Duration::from_secs(8))).await;
    let mut client = asks(server.addr).await;
    let mut some = vec![0; 256 << 10];
    for _ in 0..12 {
        sleep(Duration::from_secs(1)).await;
        let read = tokio::io::AsyncReadExt::read_exact(&mut client, &mut some);
        timeout(PATIENCE, read).await.expect("it goes on").expect("it was cut");
    }
    assert_eq!(server.hub.lifecycle().streams(), 1);
}

/// A server that stops waits for its streams, but not for what a client does not read of one.
async fn a_client_that_reads_nothing_holds_up_no_end(framework: Framework) {
    let server = serve(framework, ListenOptions::new()).await;
    let _client = asks(server.addr).await;
    assert!(streams_become(&server, 1, PATIENCE).await);
    sleep(Duration::from_millis(300)).await;
    let start = Instant::now();
    server.stop().await;
    assert!(start.elapsed() > Duration::from_secs(2), "it was not stalled");
}
