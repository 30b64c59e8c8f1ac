//! [`Answer`]: an answer of HTTP/1.1 with a chunked body, and [`Connection`]: the one that it comes on.

use std::{io, net::SocketAddr};

use memchr::memmem;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};

/// What has come of an answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Of a head or a line that has not ended.
    part: Vec<u8>,
    at: At,
    pub(crate) status: u16,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Head,
    Size,
    Chunk(usize),
    AfterChunk,
    Trailer,
    End,
}

impl Answer {
    /// Whether the body has come to its end, as its framing says it.
    pub(crate) fn is_whole(&self) -> bool {
        self.at == At::End
    }

    /// Hands on what is of the body.
    pub(crate) fn read(&mut self, mut bytes: &[u8], mut body: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            match self.at {
                At::Head => {
                    let Some(head) = self.until(&mut bytes, b"\r\n\r\n") else { return };
                    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                    self.status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_default();
                    self.at = if head.contains("transfer-encoding: chunked") { At::Size } else { At::End };
                }
                At::Size => {
                    let Some(line) = self.until(&mut bytes, b"\r\n") else { return };
                    let line = String::from_utf8_lossy(&line);
                    let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
                    self.at = if size == 0 { At::Trailer } else { At::Chunk(size) };
                }
                At::Chunk(left) => {
                    let here = left.min(bytes.len());
                    body(&bytes[..here]);
                    bytes = &bytes[here..];
                    self.at = if here == left { At::AfterChunk } else { At::Chunk(left - here) };
                }
                At::AfterChunk | At::Trailer => {
                    let Some(line) = self.until(&mut bytes, b"\r\n") else { return };
                    assert!(line.is_empty(), "a chunk that does not end where it says");
                    self.at = if self.at == At::Trailer { At::End } else { At::Size };
                }
                At::End => return,
            }
        }
    }

    /// What comes before this mark, once it is there; the rest is left in `bytes`.
    fn until(&mut self, bytes: &mut &[u8], mark: &[u8]) -> Option<Vec<u8>> {
        let known = self.part.len();
        self.part.extend_from_slice(bytes);
        let Some(at) = memmem::find(&self.part, mark) else {
            *bytes = &[];
            return None;
        };
        *bytes = &bytes[at + mark.len() - known..];
        self.part.truncate(at);
        Some(std::mem::take(&mut self.part))
    }
}

/// A client's connection and what it was answered.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    pub(crate) answer: Answer,
}

impl Connection {
    /// Asks for a stream; `from` is the address to come from, where that matters.
    pub(crate) async fn open(
        addr: SocketAddr,
        path: &str,
        id: &str,
        from: Option<SocketAddr>,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(from)?;
        }
        let mut socket = socket.connect(addr).await?;
        socket.set_nodelay(true)?;
        let id = if id.is_empty() { String::new() } else { format!("Last-Event-ID: {id}\r\n") };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\n{id}\r\n");
        socket.write_all(request.as_bytes()).await?;
        Ok(Self { socket, answer: Answer::default() })
    }

    /// The next bytes of the body, if any, go to `body`; whether there may be more.
    ///
    /// `buffer` is shared by all connections, so that a thousand idle ones cost no memory of their own.
    pub(crate) async fn read(&mut self, buffer: &super::Buffer, mut body: impl FnMut(&[u8])) -> bool {
        if self.answer.is_whole() {
            return false;
        }
        loop {
            if self.socket.readable().await.is_err() {
                return false;
            }
            let mut buffer = buffer.borrow_mut();
            match self.socket.try_read(&mut buffer) {
                Ok(0) => return false,
                Ok(n) => {
                    self.answer.read(&buffer[..n], &mut body);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
    }
}
