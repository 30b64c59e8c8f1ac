//! [`Connection`]: one of HTTP/2, by prior knowledge, that carries many streams.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::net::TcpStream;

use super::seen::Reader;

/// As large as a browser's.
pub(super) const WINDOW: u32 = 6 << 20;

/// For clients that take this much and then nothing more, while their connection is well.
pub(super) const STALLED: u32 = 1 << 10;

#[derive(Clone, Debug)]
pub(super) struct Connection {
    requests: SendRequest<Bytes>,
    addr: SocketAddr,
    /// Whether it makes room for more.
    takes: bool,
}

impl Connection {
    pub(super) async fn open(addr: SocketAddr, window: u32) -> Self {
        let socket = TcpStream::connect(addr).await.expect("a connection");
        socket.set_nodelay(true).expect("an option");
        let mut builder = Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(2 * WINDOW);
        let (requests, connection) = builder.handshake(socket).await.expect("HTTP/2");
        tokio::task::spawn_local(async move { connection.await.ok() });
        Self { requests, addr, takes: window > STALLED }
    }

    /// Reads a stream to its end; dropped before, it is reset.
    pub(super) async fn stream(self, mut reader: Reader, path: &str) {
        let uri = format!("http://{}{path}", self.addr);
        let request =
            http::Request::get(uri).header("accept", "text/event-stream").body(()).expect("a request");
        // Waits while the server allows no more streams.
        let Ok(mut requests) = self.requests.clone().ready().await else {
            return reader.refused();
        };
        let Ok((response, _)) = requests.send_request(request, true) else {
            return reader.refused();
        };
        let Some(response) = response.await.ok().filter(|response| response.status() == 200) else {
            return reader.refused();
        };
        reader.opened();
        let mut body = response.into_body();
        while let Some(Ok(bytes)) = body.data().await {
            reader.read(&bytes);
            if self.takes {
                let _ = body.flow_control().release_capacity(bytes.len());
            }
        }
        reader.end(body.is_end_stream());
    }
}
