//! [`Fan`]: all clients of one server, and its publishers, behind one epoll.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use memchr::{memchr_iter, memmem};
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with},
};

/// Stands once in every event, and nowhere else in what a server sends.
pub const MARK: u8 = b'~';

/// An event's data: with its field names and id about 100 bytes on the wire.
pub fn body() -> Vec<u8> {
    let mut body = vec![b'x'; 66];
    body[0] = MARK;
    body
}

const POST: u64 = 1 << 32;

pub struct Fan {
    addr: SocketAddr,
    epoll: OwnedFd,
    clients: Vec<Client>,
    publishers: Vec<Publisher>,
    /// Events under way, the oldest first: how many clients lack it, and when it was published.
    under_way: VecDeque<(usize, Instant)>,
    /// How many events are done with.
    done: u64,
    driven: Instant,
    buffer: Vec<u8>,
    pub reads: u64,
    /// How long each delivery took, where that is asked for.
    pub latencies: Option<Vec<Duration>>,
    /// The newest id that a client was sent.
    pub last_id: Option<String>,
}

struct Client {
    socket: TcpStream,
    /// How many events it has had.
    seen: u64,
    /// The request, until the connection stands.
    request: Option<Vec<u8>>,
    opened: bool,
}

struct Publisher {
    socket: TcpStream,
    input: Vec<u8>,
    busy: bool,
}

impl Fan {
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            epoll: epoll::create(CreateFlags::CLOEXEC).expect("an epoll"),
            clients: Vec::new(),
            publishers: Vec::new(),
            under_way: VecDeque::new(),
            done: 0,
            driven: Instant::now(),
            buffer: vec![0; 256 << 10],
            reads: 0,
            latencies: None,
            last_id: None,
        }
    }

    /// Connects as many clients, `at_once` at a time, and waits until each has its head and first bytes.
    pub fn subscribe(&mut self, clients: usize, at_once: usize) {
        self.subscribe_after(None, 0, clients, at_once);
    }

    /// [`subscribe`](Self::subscribe) behind an id; waits until each has the events that it was owed.
    pub fn subscribe_after(&mut self, id: Option<&str>, owed: u64, clients: usize, at_once: usize) {
        let id = id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let request =
            format!("GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{id}\r\n");
        let first = self.clients.len();
        let target = first + clients;
        let mut ready = first;
        let deadline = Instant::now() + Duration::from_secs(30);
        while ready < target {
            while self.clients.len() < target && self.clients.len() - ready < at_once {
                self.connect(request.as_bytes());
            }
            assert!(Instant::now() < deadline, "{} clients are not served", target - ready);
            self.turn(Duration::from_secs(1));
            ready = first
                + self.clients[first..].iter().filter(|client| client.opened && client.seen >= owed).count();
        }
        // What they were owed is no part of what is counted from here.
        for client in &mut self.clients[first..] {
            client.seen = self.done;
        }
    }

    fn connect(&mut self, request: &[u8]) {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )
        .expect("a socket");
        match connect(&socket, &self.addr) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => panic!("{}: {error}", self.addr),
        }
        let key = EventData::new_u64(self.clients.len() as u64);
        epoll::add(&self.epoll, &socket, key, EventFlags::OUT).expect("an epoll");
        let request = Some(request.to_owned());
        let socket = TcpStream::from(socket);
        self.clients.push(Client { socket, seen: 0, request, opened: false });
    }

    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Publishes one event after the other for this long, up to `window` of them under way, and waits until all
    /// have arrived everywhere. How many were delivered.
    pub fn drive(&mut self, window: usize, slice: Duration) -> u64 {
        let end = Instant::now() + slice;
        self.publish_while(window, |_| Instant::now() < end)
    }

    /// [`drive`](Self::drive), for so many events.
    pub fn publish(&mut self, window: usize, events: u64) -> u64 {
        self.publish_while(window, move |published| published < events)
    }

    /// Publishes as long as asked for; what is under way at the end is waited for.
    fn publish_while(&mut self, window: usize, mut more: impl FnMut(u64) -> bool) -> u64 {
        self.publishers(window);
        let before = self.done;
        let mut published = 0;
        let mut going = true;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            while going && self.under_way.len() < window {
                let Some(free) = self.publishers.iter().position(|publisher| !publisher.busy) else {
                    break;
                };
                going = more(published);
                if going {
                    self.post(free);
                    published += 1;
                }
            }
            if self.under_way.is_empty() && self.publishers.iter().all(|publisher| !publisher.busy) {
                if going {
                    continue;
                }
                break;
            }
            assert!(Instant::now() < deadline, "{}: events do not arrive", self.addr);
            self.turn(Duration::from_secs(1));
        }
        (self.done - before) * self.clients.len() as u64
    }

    /// Publishes an event every `interval`, so many of them. How many were delivered.
    pub fn pace(&mut self, interval: Duration, events: usize) -> u64 {
        self.publishers(1);
        let start = Instant::now();
        for n in 0..events {
            let due = start + interval * n as u32;
            loop {
                let now = Instant::now();
                if now >= due {
                    break;
                }
                self.turn(due - now);
            }
            self.post(0);
        }
        while !self.under_way.is_empty() || self.publishers[0].busy {
            self.turn(Duration::from_secs(1));
        }
        (events * self.clients.len()) as u64
    }

    /// How long each delivery took since that was asked for, in ms; no more of them are noted.
    pub fn take_latencies(&mut self) -> Vec<f64> {
        let latencies = self.latencies.take().unwrap_or_default();
        latencies.iter().map(|latency| latency.as_secs_f64() * 1e3).collect()
    }

    /// Servers close publishers that were silent for some seconds: after a pause they are new.
    fn publishers(&mut self, count: usize) {
        if self.driven.elapsed() > Duration::from_secs(2) {
            self.publishers.clear();
        }
        while self.publishers.len() < count {
            self.add_publisher();
        }
    }

    fn add_publisher(&mut self) {
        let socket = TcpStream::connect(self.addr).expect("a connection");
        socket.set_nodelay(true).expect("an option");
        socket.set_nonblocking(true).expect("an option");
        let key = EventData::new_u64(POST | self.publishers.len() as u64);
        epoll::add(&self.epoll, &socket, key, EventFlags::IN).expect("an epoll");
        self.publishers.push(Publisher { socket, input: Vec::new(), busy: false });
    }

    fn post(&mut self, publisher: usize) {
        let body = body();
        let mut request = format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(&body);
        let publisher = &mut self.publishers[publisher];
        publisher.socket.write_all(&request).expect("a request");
        publisher.busy = true;
        self.driven = Instant::now();
        self.under_way.push_back((self.clients.len(), Instant::now()));
        self.settle();
    }

    fn turn(&mut self, timeout: Duration) {
        let mut events = Vec::with_capacity(1024);
        let timeout = Timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
        for event in events {
            match event.data.u64() {
                key if key & POST != 0 => self.answered((key & !POST) as usize),
                key if self.clients[key as usize].request.is_some() => self.connected(key as usize),
                key => self.readable(key as usize),
            }
        }
    }

    fn connected(&mut self, key: usize) {
        let client = &mut self.clients[key];
        let request = client.request.take().expect("a request");
        client.socket.write_all(&request).expect("a request");
        let data = EventData::new_u64(key as u64);
        epoll::modify(&self.epoll, &client.socket, data, EventFlags::IN).expect("an epoll");
    }

    fn readable(&mut self, key: usize) {
        let client = &mut self.clients[key];
        let n = match client.socket.read(&mut self.buffer) {
            Ok(0) => panic!("{} closed a stream", self.addr),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{}: {error}", self.addr),
        };
        let bytes = &self.buffer[..n];
        self.reads += 1;
        client.opened |= memmem::find(bytes, b"\r\n\r\n").is_some();
        if key == 0
            && let Some(at) = memmem::rfind(bytes, b"id: ")
        {
            let id = bytes[at + 4..].split(|&b| b == b'\n').next().unwrap_or_default();
            self.last_id = Some(String::from_utf8_lossy(id).into_owned());
        }
        let events = memchr_iter(MARK, bytes).count() as u64;
        if events == 0 {
            return;
        }
        let now = self.latencies.is_some().then(Instant::now);
        for seq in client.seen..client.seen + events {
            let Some(event) =
                seq.checked_sub(self.done).and_then(|index| self.under_way.get_mut(index as usize))
            else {
                continue;
            };
            event.0 -= 1;
            if let (Some(now), Some(latencies)) = (now, &mut self.latencies) {
                latencies.push(now - event.1);
            }
        }
        client.seen += events;
        self.settle();
    }

    fn settle(&mut self) {
        while self.under_way.front().is_some_and(|event| event.0 == 0) {
            self.under_way.pop_front();
            self.done += 1;
        }
    }

    fn answered(&mut self, key: usize) {
        let Some(publisher) = self.publishers.get_mut(key) else {
            return;
        };
        let n = match publisher.socket.read(&mut self.buffer) {
            Ok(0) if !publisher.busy => {
                self.driven = Instant::now() - Duration::from_secs(60);
                let _ = epoll::delete(&self.epoll, &publisher.socket);
                return;
            }
            Ok(0) => panic!("{} closed a publisher", self.addr),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{}: {error}", self.addr),
        };
        publisher.input.extend_from_slice(&self.buffer[..n]);
        if is_whole(&publisher.input).expect("an answer") {
            assert!(
                publisher.input.starts_with(b"HTTP/1.1 202"),
                "{}",
                String::from_utf8_lossy(&publisher.input)
            );
            publisher.input.clear();
            publisher.busy = false;
        }
    }
}

impl std::fmt::Debug for Fan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fan").field("addr", &self.addr).field("clients", &self.clients.len()).finish()
    }
}

/// Whether an answer with a `Content-Length` is complete.
fn is_whole(input: &[u8]) -> io::Result<bool> {
    let Some(head) = memmem::find(input, b"\r\n\r\n") else {
        return Ok(false);
    };
    let text = String::from_utf8_lossy(&input[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse::<usize>().ok())
        .ok_or_else(|| io::Error::other("an answer without its length"))?;
    Ok(input.len() >= head + 4 + length)
}
