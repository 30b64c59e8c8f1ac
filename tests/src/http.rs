//! A raw HTTP/1.1 client: every byte of the answer, and where its chunks begin and end.

use std::{fmt, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

const KEEP_ALIVE: &str = ":\n";

/// What some examples send in its place.
const PING: &str = "event: ping\ndata: {}\n\n";

/// What an answer comes over: TCP, TLS, a Unix socket.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Io for T {}

/// An answer being read.
#[derive(Debug)]
pub struct Answer {
    socket: Box<dyn Io>,
    buffer: Vec<u8>,
    /// The status code.
    pub status: u16,
    /// The header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    chunked: bool,
    remaining: Option<usize>,
    ended: bool,
    pace: Option<(usize, Duration)>,
}

/// Sends a GET.
pub async fn get(addr: SocketAddr, path: &str) -> Answer {
    send(addr, "GET", path, &[], b"").await
}

/// Sends a GET that resumes.
pub async fn resume(addr: SocketAddr, path: &str, last_event_id: &[u8]) -> Answer {
    send(addr, "GET", path, &[("Last-Event-ID", last_event_id)], b"").await
}

/// Sends a POST and returns the status and the body.
pub async fn post(addr: SocketAddr, path: &str, body: &[u8]) -> (u16, String) {
    let mut answer = send(addr, "POST", path, &[], body).await;
    let text = answer.rest().await;
    (answer.status, text)
}

/// Sends a request and reads the head of the answer.
pub async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> Answer {
    let socket = TcpStream::connect(addr).await.expect("the server accepts");
    send_over(socket, method, path, headers, body).await
}

/// [`send`] over a connection that was made already.
pub async fn send_over(
    socket: TcpStream,
    method: &str,
    path: &str,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> Answer {
    let host = socket.peer_addr().expect("a connection").to_string();
    socket.set_nodelay(true).expect("an option of TCP");
    send_to(&host, Box::new(socket), method, path, headers, body).await
}

/// [`send`] over a connection of any kind, to the host of this name.
pub async fn send_to(
    host: &str,
    mut socket: Box<dyn Io>,
    method: &str,
    path: &str,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(format!("{name}: ").as_bytes());
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() || method == "POST" {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    // A server may answer and close before it has read a large body.
    socket.write_all(&request).await.ok();
    socket.flush().await.ok();
    let mut answer = Answer {
        socket,
        buffer: Vec::new(),
        status: 0,
        headers: Vec::new(),
        chunked: false,
        remaining: None,
        ended: method == "HEAD",
        pace: None,
    };
    answer.read_head().await;
    answer
}

impl Answer {
    async fn read_head(&mut self) {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            assert!(self.fill().await, "the connection ended before the head: {:?}", self.text());
        };
        let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).expect("a head in UTF-8");
        let mut lines = head.split("\r\n");
        let status = lines.next().expect("a status line");
        self.status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
        self.headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        self.chunked = self.header("transfer-encoding") == Some("chunked");
        self.remaining = self.header("content-length").and_then(|len| len.parse().ok());
    }

    /// A header field that stands there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands there twice");
        value
    }

    /// The next chunk as it was sent; `None` after a clean end.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        assert!(self.chunked, "the body is not chunked");
        let line = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break self.buffer.drain(..end + 2).collect::<Vec<u8>>();
            }
            assert!(self.fill().await, "the body was cut");
        };
        let size = std::str::from_utf8(&line).expect("a chunk size").trim();
        let size = usize::from_str_radix(size, 16).expect("a chunk size in hex");
        while self.buffer.len() < size + 2 {
            assert!(self.fill().await, "the body was cut");
        }
        let mut chunk: Vec<u8> = self.buffer.drain(..size + 2).collect();
        assert_eq!(chunk.split_off(size), b"\r\n");
        if size == 0 {
            self.ended = true;
            return None;
        }
        Some(chunk)
    }

    /// Reads on until what was read meets the condition, and returns it. Keep-alives are left out, but for one that
    /// meets it: on Rocket the first comes after a second, which a busy machine may take for anything.
    pub async fn until(&mut self, condition: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        while !condition(&text) {
            match self.chunk().await {
                Some(chunk) => {
                    let chunk = String::from_utf8_lossy(&chunk);
                    let counts = chunk != PING && chunk != KEEP_ALIVE;
                    if counts || (chunk == KEEP_ALIVE && condition(&format!("{text}{chunk}"))) {
                        text += &chunk;
                    }
                    // One that Rocket has put behind an event into the same chunk.
                    if text.ends_with("\n\n:\n") && !condition(&text) {
                        text.truncate(text.len() - KEEP_ALIVE.len());
                    }
                }
                None => panic!("the stream ended: {text:?}"),
            }
        }
        text
    }

    /// Reads the body to its clean end, without keep-alives.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        if self.chunked {
            while let Some(chunk) = self.chunk().await {
                if ![KEEP_ALIVE.as_bytes(), PING.as_bytes()].contains(&&*chunk) {
                    bytes.extend_from_slice(&chunk);
                }
            }
        } else if !self.ended {
            while self.remaining.is_none_or(|len| self.buffer.len() < len) && self.fill().await {}
            bytes = std::mem::take(&mut self.buffer);
        }
        String::from_utf8(bytes).expect("a body in UTF-8")
    }

    /// Whether nothing more comes for this long.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        self.buffer.is_empty() && timeout(time, self.fill()).await.is_err()
    }

    /// Whether the stream goes on for this long, and nothing comes of it but keep-alives: see [`until`](Self::until).
    pub async fn goes_on_for(&mut self, time: Duration) -> bool {
        let chunks = [KEEP_ALIVE, PING].map(|text| format!("{:X}\r\n{text}\r\n", text.len()));
        let end = Instant::now() + time;
        loop {
            while let Some(chunk) = chunks.iter().find(|chunk| self.buffer.starts_with(chunk.as_bytes())) {
                self.buffer.drain(..chunk.len());
            }
            if !chunks.iter().any(|chunk| chunk.as_bytes().starts_with(&self.buffer)) {
                return false;
            }
            match timeout_at(end, self.fill()).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Whether the server has closed the connection, or does so soon.
    pub async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }

    /// Waits until the server closes the connection, with nothing more said.
    ///
    /// # Errors
    /// Where it is cut: over TLS, one that ends without TLS's own word of the end.
    pub async fn closed(mut self) -> io::Result<()> {
        assert!(self.buffer.is_empty(), "{:?}", self.text());
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.socket.read_to_end(&mut rest)).await;
        read.expect("the server closes it in time")?;
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
        Ok(())
    }

    /// Reads slowly from here on: at most so many bytes at a time, and a pause before them.
    pub fn slow(&mut self, bytes: usize, pause: Duration) {
        self.pace = Some((bytes, pause));
    }

    async fn fill(&mut self) -> bool {
        let mut limit = usize::MAX;
        if let Some((bytes, pause)) = self.pace {
            sleep(pause).await;
            limit = bytes;
        }
        let mut socket = (&mut self.socket).take(limit as u64);
        let read = timeout(PATIENCE, socket.read_buf(&mut self.buffer));
        matches!(read.await.expect("the server answers in time"), Ok(len) if len > 0)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// An event as a client sees it. Comments and `retry` lines are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The name, `message` where there is none.
    pub kind: String,
    /// The data.
    pub data: String,
    /// The id that it brings.
    pub id: Option<String>,
}

/// Reads the whole blocks of a text of LF lines.
pub fn events(text: &str) -> Vec<Seen> {
    let end = text.rfind("\n\n").map_or(0, |end| end + 2);
    text[..end]
        .split_terminator("\n\n")
        .map(|block| {
            let mut seen = Seen { kind: "message".into(), ..Seen::default() };
            let mut data = Vec::new();
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("event", name)) => seen.kind = name.into(),
                    Some(("id", id)) => seen.id = Some(id.into()),
                    Some(("data", line)) => data.push(line),
                    _ => {}
                }
            }
            seen.data = data.join("\n");
            seen
        })
        .collect()
}

/// The text with the jittered reconnection times made equal.
pub fn without_jitter(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("retry: ") {
        Some(millis) if millis.parse::<u64>().is_ok() => "retry: N".to_owned(),
        _ => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}
