//! The application as a program of its own, for tests that look at the whole server's processor time and must
//! be able to end one that hangs: `sweep-server <framework> [<most streams>]`. `sse_tests::process` is its other side.
//!
//! It prints its address, then an answer to each command on standard input, and ends with the input. Commands
//! are served by a thread of their own: they are answered even when the server's threads are not.
#![allow(clippy::expect_used, clippy::panic, reason = "test support: a failure is a failed test")]

use std::{
    fmt::Write as _,
    io::{self, BufRead as _},
    process, thread,
    time::Duration,
};

use sse_core::{Hub, Lifecycle, Limits, StreamOptions};
use sse_tests::{
    servers::{App, Framework},
    traffic,
};

#[tokio::main(worker_threads = 2)]
async fn main() {
    let name = std::env::args().nth(1).expect("the name of a framework");
    let framework = Framework::ALL.into_iter().find(|framework| framework.name() == name);
    // Some servers notice by nothing else that a client has left.
    let options = StreamOptions::new().keep_alive(Duration::from_secs(1));
    let mut limits = Limits::builder();
    if let Some(most) = std::env::args().nth(2) {
        limits = limits.max_streams(most.parse().expect("a number"));
    }
    let lifecycle = Lifecycle::builder().limits(&limits.build()).build();
    let hub = Hub::builder().max_events(1 << 20).max_bytes(256 << 20).stream_options(options.clone());
    let hub = hub.lifecycle(&lifecycle).build();
    let app = App { options, own: traffic::own, ..App::new(hub.clone()) };
    let server = framework.expect("a framework").serve(app).await;
    println!("{}", server.addr);
    thread::spawn(move || {
        for command in io::stdin().lock().lines() {
            println!("{}", answer(&hub, &command.expect("standard input")));
        }
        process::exit(0);
    });
    server.ended().await;
    process::exit(0);
}

/// `publish <topic> <length> <count>`: the position before, and the events' ids. `streams`: how many are open.
/// `stop`: as a signal would; the server may have ended before it has answered.
fn answer(hub: &Hub, command: &str) -> String {
    match *command.split(' ').collect::<Vec<_>>() {
        ["publish", topic, len, count] => {
            let number = |text: &str| text.parse::<usize>().expect("a number");
            let mut line = hub.position().to_string();
            for n in 0..number(count) {
                let id = hub.publish_now(topic, traffic::data(n, number(len))).expect("a topic");
                write!(line, " {id}").expect("room");
            }
            line
        }
        ["streams"] => hub.lifecycle().streams().to_string(),
        ["stop"] => {
            hub.lifecycle().stop();
            "stopping".to_owned()
        }
        _ => panic!("no command {command}"),
    }
}
