//! A node as a program of its own: `node-server <framework> <engine's URL>`.
//!
//! It prints its address and its time in seconds since 1970, then an answer to each line `<number> <topic> <data>` on standard input, which it publishes:
//! `<number> <id>`, `<number> unknown` or `<number> not published`. It ends with the input.
#![allow(clippy::expect_used, reason = "test support: a failure is a failed test")]

use std::{
    process,
    time::{Duration, SystemTime},
};

use sse_core::{Hub, PublishError, StreamOptions};
use sse_tests::{
    engines::AnyEngine,
    servers::{App, Framework},
};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (name, url) = (arguments.next().expect("a framework"), arguments.next().expect("a URL"));
    let framework = Framework::ALL.into_iter().find(|framework| framework.name() == name);
    let options = StreamOptions::new().keep_alive(Duration::from_secs(1));
    let hub = Hub::builder().stream_options(options).engine(AnyEngine::at(&url).await);
    let hub = hub.build().await.expect("the engine answers");
    let server = framework.expect("a framework").serve(App::new(hub.clone())).await;
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    println!("{} {}", server.addr, time.as_secs());
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await.expect("standard input") {
        let hub = hub.clone();
        tokio::spawn(async move {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().expect("a word").to_owned();
            let (number, topic, data) = (word(), word(), word());
            match hub.publish(topic, data).await {
                Ok(id) => println!("{number} {id}"),
                Err(PublishError::Unknown) => println!("{number} unknown"),
                Err(_) => println!("{number} not published"),
            }
        });
    }
    process::exit(0);
}
