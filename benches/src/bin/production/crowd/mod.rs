//! The clients, in a process of their own that may be frozen or killed: `production crowd <kind> …`.
//!
//! Each kind prints a line when it stands, and one of JSON for each command on its standard input; it ends with that
//! input.

mod asking;
mod churn;
mod h1;
mod h2;
mod hold;
mod returning;
mod seen;
mod sse;

use std::{cell::RefCell, fmt, io::Write as _, net::SocketAddr, rc::Rc};

use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines, Stdin},
    task::LocalSet,
};

/// What all connections read into.
type Buffer = Rc<RefCell<Vec<u8>>>;

/// A clock that all processes of this machine share, in nanoseconds.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What the harness says: a word, and what follows it.
struct Commands(Lines<BufReader<Stdin>>);

impl Commands {
    async fn next(&mut self) -> Option<String> {
        self.0.next_line().await.ok().flatten()
    }
}

fn say(what: &impl fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{what}").and_then(|()| out.flush());
}

/// Runs what `production crowd` was told.
pub(crate) fn run(args: &[String]) {
    let number = |n: usize| args[n].parse::<usize>().expect("a number");
    let addr: SocketAddr = args[1].parse().expect("an address");
    let buffer = Rc::new(RefCell::new(vec![0; 256 << 10]));
    let commands = Commands(BufReader::new(tokio::io::stdin()).lines());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
        match args[0].as_str() {
            "hold" => hold::run(addr, number(2), number(3), &args[4], h2::WINDOW, &buffer, commands).await,
            "stall" => hold::run(addr, number(2), number(3), "/events", h2::STALLED, &buffer, commands).await,
            "return" => returning::run(addr, number(2), &buffer, commands).await,
            "churn" => churn::run(addr, number(2), number(3), &buffer).await,
            "ask" => asking::run(addr, number(2), &args[3], &buffer).await,
            other => panic!("no crowd {other}"),
        }
    });
    // Sockets that are still open are closed by the kernel, and nobody waits for tasks.
    std::process::exit(0);
}
