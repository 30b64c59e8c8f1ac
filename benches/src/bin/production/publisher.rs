//! [`Publisher`]: says events over HTTP, one connection for all, as a service behind the server does.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::crowd::now;

#[derive(Debug)]
pub(crate) struct Publisher {
    addr: SocketAddr,
    socket: Option<TcpStream>,
    used: Instant,
}

/// After how long its connection is not used again: a server may be closing it.
const STALE: Duration = Duration::from_secs(2);

impl Publisher {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, socket: None, used: Instant::now() }
    }

    /// Publishes; the status of the answer.
    ///
    /// # Errors
    /// When there is no answer within 20 s.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> io::Result<u16> {
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            self.addr,
            body.len()
        ))
        .await
    }

    /// The status that a path is answered with.
    ///
    /// # Errors
    /// When there is no answer within 20 s.
    pub(crate) async fn get(&mut self, path: &str) -> io::Result<u16> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.addr)).await
    }

    async fn ask(&mut self, request: &str) -> io::Result<u16> {
        if self.used.elapsed() > STALE {
            self.socket = None;
        }
        let answered = timeout(Duration::from_secs(20), self.exchange(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        self.used = Instant::now();
        if answered.is_err() {
            self.socket = None;
        }
        answered
    }

    async fn exchange(&mut self, request: &str) -> io::Result<u16> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                let socket = TcpStream::connect(self.addr).await?;
                socket.set_nodelay(true)?;
                none.insert(socket)
            }
        };
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let head = loop {
            if socket.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = memmem::find(&answer, b"\r\n\r\n") {
                break head;
            }
        };
        let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut left = (head + 4 + length.unwrap_or(0_usize)).saturating_sub(answer.len());
        while left > 0 {
            let mut rest = vec![0; left];
            match socket.read(&mut rest).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => left -= n,
            }
        }
        // A body of another kind, or a connection that ends here: the next request has one of its own.
        if length.is_none() || text.contains("connection: close") {
            self.socket = None;
        }
        text.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Says what time it is, so often and so far apart.
    pub(crate) async fn tell_time(&mut self, times: usize, apart: Duration) {
        self.tell_time_at("/publish", times, apart).await;
    }

    /// The same to others than a hub's.
    pub(crate) async fn tell_time_at(&mut self, path: &str, times: usize, apart: Duration) {
        let start = Instant::now();
        for n in 0..times {
            sleep((start + apart * n as u32).saturating_duration_since(Instant::now())).await;
            // As long as what is usual.
            let body = format!("at {}{}", now(), ".".repeat(60));
            let status = self.post(path, &body).await.expect("an answer");
            assert_eq!(status, 202);
        }
    }
}
