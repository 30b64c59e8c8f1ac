//! The limit: one thread, one epoll, plain `send`. It parses no more HTTP than it must.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use sse_benches::{EPOCH, frame};

/// How a subscriber that is behind is sent what it lacks.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Writes {
    /// One `send` per event, at once.
    EachEvent,
    /// One `send` of all that is due: subscribers are cursors into one log, a few take their turn at a time.
    AllDue,
}

/// How many subscribers are served between two looks at the sockets.
const AT_ONCE: usize = 32;

/// How many bytes one `send` gets.
const TURN: usize = 64 << 10;

struct Connection {
    socket: TcpStream,
    input: Vec<u8>,
    /// Where it stands in the log, once it is a subscriber.
    at: Option<usize>,
}

struct Server {
    writes: Writes,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// All events' bytes, and where each ends.
    log: Vec<u8>,
    ends: Vec<usize>,
    /// Who is to be looked at, in a ring: the next one and how many.
    next: usize,
    left: usize,
}

const LISTENER: u64 = u64::MAX;

pub(crate) fn serve(port: u16, writes: Writes) -> io::Result<()> {
    // std listens with a backlog of 128 or more, by platform; the clients of a benchmark come at once.
    let listener = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::sockopt::set_socket_reuseaddr(&listener, true)?;
    rustix::net::bind(&listener, &std::net::SocketAddr::from(([127, 0, 0, 1], port)))?;
    rustix::net::listen(&listener, 1024)?;
    let listener = TcpListener::from(listener);
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut server = Server {
        writes,
        connections: Vec::new(),
        free: Vec::new(),
        log: Vec::new(),
        ends: Vec::new(),
        next: 0,
        left: 0,
    };
    let mut events = Vec::with_capacity(1024);
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let timeout = (server.left > 0).then_some(&now);
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), timeout)?;
        for event in &events {
            match event.data.u64() {
                LISTENER => server.accept(&listener, &poll)?,
                key => server.readable(key as usize),
            }
        }
        server.pass();
    }
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, poll: &OwnedFd) -> io::Result<()> {
        while let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let key = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            epoll::add(poll, &socket, EventData::new_u64(key as u64), EventFlags::IN)?;
            self.connections[key] = Some(Connection { socket, input: Vec::new(), at: None });
        }
        Ok(())
    }

    fn readable(&mut self, key: usize) {
        let mut buffer = [0; 4096];
        let Some(connection) = &mut self.connections[key] else {
            return;
        };
        match connection.socket.read(&mut buffer) {
            Ok(0) | Err(_) => {
                self.connections[key] = None;
                self.free.push(key);
            }
            Ok(n) => {
                connection.input.extend_from_slice(&buffer[..n]);
                self.request(key);
            }
        }
    }

    fn request(&mut self, key: usize) {
        let Some(connection) = &mut self.connections[key] else {
            return;
        };
        let Some(head) = memchr::memmem::find(&connection.input, b"\r\n\r\n") else {
            return;
        };
        let text = String::from_utf8_lossy(&connection.input[..head]).to_ascii_lowercase();
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
        };
        if text.starts_with("get ") {
            let seen = field("last-event-id:")
                .and_then(|id| id.strip_prefix(&format!("{EPOCH:016x}-")).and_then(|seq| seq.parse().ok()));
            connection.at = Some(seen.unwrap_or(self.ends.len()));
            connection.input = Vec::new();
            send(
                &mut connection.socket,
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n:\n",
            );
            if seen.is_some() {
                self.give(key);
            }
            return;
        }
        let length: usize = field("content-length:").and_then(|n| n.parse().ok()).unwrap_or(0);
        let whole = head + 4 + length;
        if connection.input.len() < whole {
            return;
        }
        let event = frame(&connection.input[head + 4..whole], self.ends.len() + 1);
        connection.input.drain(..whole);
        self.log.extend_from_slice(&event);
        self.ends.push(self.log.len());
        if self.writes == Writes::EachEvent {
            for key in 0..self.connections.len() {
                self.give(key);
            }
        } else {
            self.left = self.connections.len();
        }
        if let Some(connection) = &mut self.connections[key] {
            send(&mut connection.socket, b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
        }
    }

    /// A few subscribers are given what they lack.
    fn pass(&mut self) {
        for _ in 0..AT_ONCE.min(self.left) {
            self.next = (self.next + 1) % self.connections.len();
            self.left -= 1;
            self.give(self.next);
        }
    }

    fn give(&mut self, key: usize) {
        let Some(Connection { socket, at: Some(at), .. }) = &mut self.connections[key] else {
            return;
        };
        while *at < self.ends.len() {
            let from = at.checked_sub(1).map_or(0, |last| self.ends[last]);
            let upto = match self.writes {
                Writes::EachEvent => *at + 1,
                Writes::AllDue => self.ends.partition_point(|&end| end <= from + TURN).max(*at + 1),
            };
            send(socket, &self.log[from..self.ends[upto - 1]]);
            *at = upto;
        }
    }
}

/// The benchmarks' clients read; one that does not is no part of them, and is cut.
fn send(socket: &mut TcpStream, bytes: &[u8]) {
    if socket.write(bytes).ok() != Some(bytes.len()) {
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
}
