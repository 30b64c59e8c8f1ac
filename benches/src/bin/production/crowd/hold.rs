//! `crowd hold <address> <streams> <per connection> <path>`: streams that stay open and are read; with none a connection
//! over HTTP/1.1, else over HTTP/2.
//!
//! `crowd stall <address> <streams> <per connection>`: the same over HTTP/2, but each takes one KiB and no more.
//!
//! `stats`: what was seen since `clear`, and of the latencies what came before `mark` and after it. `leave`: gives all streams up, over HTTP/2 each by a reset while the connections
//! stay.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Buffer, Commands,
    h1::Connection,
    h2, say,
    seen::{Reader, Seen},
};

/// How many connect at a time.
const AT_ONCE: usize = 64;

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
    let all = || seen.borrow().answered() >= streams;
    while !all() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    say(&"open");

    while let Some(command) = commands.next().await {
        match command.as_str() {
            "stats" => say(&seen.borrow().stats()),
            "clear" => {
                seen.borrow_mut().clear();
                say(&"cleared");
            }
            "mark" => {
                seen.borrow_mut().mark();
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
