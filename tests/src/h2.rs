//! A raw HTTP/2 client that keeps to no rule but those that a test wants kept.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::TcpStream,
    time::timeout,
};

use crate::http::Io;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames, as RFC 9113 numbers them.
pub mod kind {
    #![expect(missing_docs, reason = "the standard's names")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![expect(missing_docs, reason = "the standard's names")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// How much a peer may send on a stream that opens.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// Zero is the connection.
    pub stream: u32,
    /// All of it.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Whether it is a response's first and says 200, which has a number of its own in HPACK's table.
    pub fn is_ok(&self) -> bool {
        self.kind == kind::HEADERS && self.payload.first() == Some(&0x88)
    }

    /// Whether its stream has ended with it.
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & flag::END_STREAM != 0
    }

    /// The number in a GOAWAY or RST_STREAM that says why.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let mut bytes = vec![len[1], len[2], len[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// SETTINGS.
pub fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let one = |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &settings.iter().flat_map(one).collect::<Vec<_>>())
}

/// HEADERS of a GET that is whole.
pub fn get(stream: u32, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, stream, &block(path, headers))
}

/// A GET's header block: nothing is compressed, and nothing to be remembered.
pub fn block(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    // By their numbers in HPACK's table: `:method GET`, `:scheme http`, `:path`, `:authority`.
    let mut bytes = vec![0x82, 0x86, 0x04];
    string(&mut bytes, path);
    bytes.push(0x01);
    string(&mut bytes, "localhost");
    for (name, value) in headers {
        bytes.push(0);
        string(&mut bytes, name);
        string(&mut bytes, value);
    }
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    // An integer with seven bits of its first byte (RFC 7541 §5.1).
    match text.len() {
        len @ 0..127 => bytes.push(u8::try_from(len).expect("it is short")),
        len => {
            bytes.push(127);
            let mut rest = len - 127;
            while rest >= 128 {
                bytes.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
    }
    bytes.extend_from_slice(text.as_bytes());
}

/// RST_STREAM with CANCEL.
pub fn reset(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// GOAWAY with this number for a reason; nothing that the server began was seen.
pub fn go_away(code: u32) -> Vec<u8> {
    frame(kind::GOAWAY, 0, 0, &[[0; 4], code.to_be_bytes()].concat())
}

/// WINDOW_UPDATE.
pub fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

/// What came back meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How many frames of each kind.
    pub frames: BTreeMap<u8, usize>,
    /// How many answers that say 200.
    pub answers: usize,
    /// The reason of a GOAWAY.
    pub go_away: Option<u32>,
    /// Whether the server has closed the connection.
    pub is_closed: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    read: ReadHalf<Box<dyn Io>>,
    write: WriteHalf<Box<dyn Io>>,
    buffer: Vec<u8>,
    next: u32,
}

impl Connection {
    /// Begins with these settings, with prior knowledge.
    pub async fn open(addr: SocketAddr, own: &[(u16, u32)]) -> Self {
        let socket = TcpStream::connect(addr).await.expect("the server accepts");
        socket.set_nodelay(true).expect("an option of TCP");
        Self::open_on(Box::new(socket), own).await
    }

    /// [`open`](Self::open) on a connection that was made already.
    pub async fn open_on(io: Box<dyn Io>, own: &[(u16, u32)]) -> Self {
        let (read, write) = split(io);
        let mut connection = Self { read, write, buffer: Vec::new(), next: 1 };
        connection.send(&[PREFACE, &settings(own)].concat()).await.expect("the server reads");
        connection
    }

    /// Sends what is to be sent.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let write = async {
            self.write.write_all(bytes).await?;
            self.write.flush().await
        };
        timeout(PATIENCE, write).await.expect("the server reads in time")
    }

    /// The number of a stream that is new.
    pub fn stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a GET; its stream.
    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> u32 {
        let stream = self.stream();
        self.send(&get(stream, path, headers)).await.expect("the server reads");
        stream
    }

    /// The next frame; what has to be acknowledged is. `None` where the server has closed the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        self.next_or_end().await.ok().flatten()
    }

    async fn next_or_end(&mut self) -> io::Result<Option<Frame>> {
        let next = timeout(PATIENCE, self.read_frame()).await.expect("the server says something in time")?;
        let Some(next) = next else {
            return Ok(None);
        };
        if matches!(next.kind, kind::SETTINGS | kind::PING) && next.flags & flag::ACK == 0 {
            let payload = if next.kind == kind::PING { &*next.payload } else { &[] };
            self.send(&frame(next.kind, flag::ACK, 0, payload)).await.ok();
        }
        Ok(Some(next))
    }

    /// The next frame that meets the condition.
    pub async fn until(&mut self, condition: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let next = self.next().await.expect("the connection is open");
            if condition(&next) {
                return next;
            }
        }
    }

    /// Reads the data of a stream until it meets the condition.
    pub async fn text(&mut self, stream: u32, condition: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        while !condition(&text) {
            let next = self.until(|next| next.kind == kind::DATA && next.stream == stream).await;
            text += std::str::from_utf8(&next.payload).expect("events");
        }
        text
    }

    /// Sends all of this, or until the server closes the connection, and throws away what comes back meanwhile.
    pub async fn flood(&mut self, bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        let Self { read, write, buffer, .. } = self;
        let mut writing = std::pin::pin!(write.write_all(bytes));
        let flood = async {
            loop {
                tokio::select! {
                    written = &mut writing => {
                        seen.is_closed = written.is_err();
                        return;
                    }
                    len = read.read_buf(buffer) => {
                        while let Some(frame) = take(buffer) {
                            *seen.frames.entry(frame.kind).or_default() += 1;
                            seen.answers += usize::from(frame.is_ok());
                            if frame.kind == kind::GOAWAY {
                                seen.go_away = frame.code();
                            }
                        }
                        if !matches!(len, Ok(1..)) {
                            seen.is_closed = true;
                            return;
                        }
                    }
                }
            }
        };
        timeout(PATIENCE, flood).await.expect("the server reads in time");
        seen
    }

    /// Waits until the server closes the connection; what has to be acknowledged meanwhile is.
    ///
    /// # Errors
    /// Where it is cut: over TLS, one that ends without TLS's own word of the end.
    pub async fn closed(mut self) -> io::Result<()> {
        while self.next_or_end().await?.is_some() {}
        Ok(())
    }

    /// Waits for that without limit, and answers nothing meanwhile.
    pub async fn closed_unanswered(mut self) {
        while matches!(self.read.read_buf(&mut self.buffer).await, Ok(1..)) {
            self.buffer.clear();
        }
    }

    async fn read_frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = take(&mut self.buffer) {
                return Ok(Some(frame));
            }
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Takes the first frame, if it is whole.
fn take(buffer: &mut Vec<u8>) -> Option<Frame> {
    let head: [u8; 9] = buffer.get(..9)?.try_into().ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let len = u32::from_be_bytes([0, a, b, c]) as usize;
    let payload = buffer.get(9..9 + len)?.to_vec();
    buffer.drain(..9 + len);
    Some(Frame { kind, flags, stream: u32::from_be_bytes(stream) & (u32::MAX >> 1), payload })
}
