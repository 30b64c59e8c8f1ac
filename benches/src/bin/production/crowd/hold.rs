//! `crowd hold <address> <streams> <per connection> <path>`: streams that stay open and are read; with none a connection
//! over HTTP/1.1, else over HTTP/2.
//!
//! `crowd stall <address> <streams> <per connection>`: the same over HTTP/2, but each takes one KiB and no more.
//!
//! `stats`: what was seen since `clear`, and of the latencies what came after `mark`. `leave`: gives all streams up, over HTTP/2 each by a reset while the connections
//! stay.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Buffer, Commands,
    h1::Connection,
    h2, now, say,
    sse::{Event, Sse},
};

/// How many connect at a time.
const AT_ONCE: usize = 64;

/// What all streams of the crowd have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    opened: usize,
    refused: usize,
    events: usize,
    /// Nanoseconds, in the order in which they came.
    latencies: Vec<u64>,
    /// How many of those there were at the last `mark`.
    marked: usize,
    /// When each stream ended, and whether it was whole.
    ends: Vec<(u64, bool)>,
    /// What the last event said.
    last: String,
}

/// What one stream has seen, and where it is counted.
#[derive(Debug)]
pub(super) struct Reader {
    seen: Rc<RefCell<Seen>>,
    sse: Sse,
}

impl Reader {
    fn new(seen: &Rc<RefCell<Seen>>) -> Self {
        Self { seen: Rc::clone(seen), sse: Sse::default() }
    }

    /// Its head has come.
    pub(super) fn opened(&self) {
        self.seen.borrow_mut().opened += 1;
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        let mut seen = self.seen.borrow_mut();
        self.sse.read(bytes, |_, event| seen.take(&event));
    }

    /// `whole`: as the framing has it.
    pub(super) fn end(&self, whole: bool) {
        self.seen.borrow_mut().ends.push((now(), whole && self.sse.is_between()));
    }

    pub(super) fn refused(&self) {
        self.seen.borrow_mut().refused += 1;
    }
}

impl Seen {
    fn take(&mut self, event: &Event<'_>) {
        if !event.name.is_empty() {
            return;
        }
        self.events += 1;
        event.data[..event.data.len().min(40)].clone_into(&mut self.last);
        // Only some say when they were published.
        if let Some(at) =
            event.data.strip_prefix("at ").and_then(|at| at.trim_end_matches('.').parse::<u64>().ok())
        {
            self.latencies.push(now().saturating_sub(at));
        }
    }

    fn stats(&self) -> Value {
        let [p50, p99, max] = quantiles(&self.latencies);
        let [later_p50, later_p99, later_max] = quantiles(&self.latencies[self.marked..]);
        json!({
            "opened": self.opened, "refused": self.refused, "events": self.events, "last": self.last,
            "measured": self.latencies.len(), "p50": p50, "p99": p99, "max": max,
            "later": { "p50": later_p50, "p99": later_p99, "max": later_max },
            "ends": self.ends.iter().map(|end| end.0).collect::<Vec<_>>(),
            "whole": self.ends.iter().filter(|end| end.1).count(),
        })
    }
}

/// The median, the 99th percentile and the largest, if there are any.
fn quantiles(latencies: &[u64]) -> [Option<u64>; 3] {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    [0.5, 0.99, 1.0].map(|part| sorted.get((sorted.len().saturating_sub(1) as f64 * part) as usize).copied())
}

pub(super) async fn run(
    addr: SocketAddr,
    streams: usize,
    per_connection: usize,
    path: &str,
    window: u32,
    buffer: &Buffer,
    mut commands: Commands,
) {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let mut tasks = JoinSet::new();
    let mut connections = Vec::new();
    if per_connection == 0 {
        let at_once = Rc::new(Semaphore::new(AT_ONCE));
        for _ in 0..streams {
            let reader = Reader::new(&seen);
            let (at_once, path, buffer) = (Rc::clone(&at_once), path.to_owned(), Rc::clone(buffer));
            tasks.spawn_local(async move { over_h1(reader, addr, &path, &at_once, &buffer).await });
        }
    } else {
        for first in (0..streams).step_by(per_connection) {
            let connection = h2::Connection::open(addr, window).await;
            for _ in first..streams.min(first + per_connection) {
                let (reader, connection, path) = (Reader::new(&seen), connection.clone(), path.to_owned());
                tasks.spawn_local(async move { connection.stream(reader, &path).await });
            }
            connections.push(connection);
        }
    }
    // Whoever is refused or ends counts too: the harness looks at the numbers.
    let all = || {
        let seen = seen.borrow();
        seen.opened + seen.refused >= streams
    };
    while !all() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    say(&"open");

    while let Some(command) = commands.next().await {
        match command.as_str() {
            "stats" => say(&seen.borrow().stats()),
            "clear" => {
                let mut seen = seen.borrow_mut();
                seen.latencies.clear();
                seen.marked = 0;
                seen.events = 0;
                say(&"cleared");
            }
            "mark" => {
                let mut seen = seen.borrow_mut();
                seen.marked = seen.latencies.len();
                say(&"marked");
            }
            "leave" => {
                tasks.abort_all();
                while tasks.join_next().await.is_some() {}
                say(&"left");
            }
            other => panic!("no command {other}"),
        }
    }
}

async fn over_h1(mut reader: Reader, addr: SocketAddr, path: &str, at_once: &Semaphore, buffer: &Buffer) {
    let turn = at_once.acquire().await.expect("it is never closed");
    let Ok(mut connection) = Connection::open(addr, path, "", None).await else {
        return reader.refused();
    };
    let mut going = true;
    while going && connection.answer.status == 0 {
        going = connection.read(buffer, |bytes| reader.read(bytes)).await;
    }
    drop(turn);
    // Not until the first bytes of the body: of some peers' they come seconds later.
    if connection.answer.status != 200 {
        return reader.refused();
    }
    reader.opened();
    while going {
        going = connection.read(buffer, |bytes| reader.read(bytes)).await;
    }
    reader.end(connection.answer.is_whole());
}
