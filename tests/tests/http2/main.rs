//! Clients that speak HTTP/2 as no client should, each against a server in a process of its own. Afterwards the server
//! holds nothing of them, has nothing to do, and answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]
#![cfg(target_os = "linux")]

mod floods;
mod heads;
mod lasting;
mod resets;
mod windows;

use std::time::{Duration, Instant};

use sse_tests::{
    h2::{Connection, INITIAL_WINDOW_SIZE, kind},
    http::{self, Answer},
    process::Process,
    servers::Framework,
};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a server may have more than before, in KiB: what its allocator keeps of what came and went.
const KEPT: u64 = 64 << 10;

/// A server that is about to be attacked.
struct Target {
    framework: Framework,
    server: Process,
    /// Its memory, once it has served.
    before: u64,
}

impl Target {
    async fn start(framework: Framework) -> Self {
        Self::start_with(framework, None).await
    }

    async fn start_with(framework: Framework, streams: Option<usize>) -> Self {
        let server = Process::start_with(env!("CARGO_BIN_EXE_sweep-server"), framework, streams).await;
        let mut target = Self { framework, server, before: 0 };
        for _ in 0..20 {
            target.answers().await;
        }
        target.holds(0).await;
        target.before = target.server.memory();
        target
    }

    async fn connect(&self) -> Connection {
        Connection::open(self.server.addr, &[]).await
    }

    /// One that takes nothing on a stream until it says so.
    async fn connect_shut(&self) -> Connection {
        Connection::open(self.server.addr, &[(INITIAL_WINDOW_SIZE, 0)]).await
    }

    /// Somebody else, who is not to notice anything.
    async fn bystander(&self) -> Bystander {
        let mut answer = http::get(self.server.addr, "/events?topic=bystander").await;
        answer.until(|text| text.contains("\n\n")).await;
        Bystander(answer)
    }

    async fn holds(&self, streams: usize) {
        let start = Instant::now();
        loop {
            let open = self.server.streams().await;
            if open == streams {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{open} streams are open, not {streams}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Others are served, over both versions.
    async fn answers(&self) {
        let mut answer = http::get(self.server.addr, "/events").await;
        assert_eq!(answer.status, 200);
        answer.until(|text| text.contains("\n\n")).await;
        let mut client = self.connect().await;
        let stream = client.get("/events", &[]).await;
        client.text(stream, |text| text.contains("\n\n")).await;
    }

    /// Nothing is left of what has been.
    async fn has_recovered(self, attack: &str) {
        let at_worst = self.server.memory();
        self.holds(0).await;
        self.answers().await;
        self.holds(0).await;
        self.server.idle().await.unwrap();
        let (before, after) = (self.before, self.server.memory());
        println!("{} {attack}: {before} KiB before, {at_worst} then, {after} after", self.framework);
        assert!(after < before + KEPT, "{before} KiB have become {after}");
        assert!(self.server.stop().await.success());
    }
}

struct Bystander(Answer);

impl Bystander {
    /// An event reaches him, as if he were alone.
    async fn is_served(&mut self, target: &Target) {
        let (_, ids) = target.server.publish("bystander", 100, 1).await;
        self.0.until(|text| text.contains(&ids[0]) && text.ends_with("\n\n")).await;
    }
}

/// Opens so many streams; their numbers.
async fn open(client: &mut Connection, streams: usize, path: &str) -> Vec<u32> {
    let mut open = Vec::new();
    for _ in 0..streams {
        open.push(client.get(path, &[]).await);
    }
    for _ in 0..streams {
        assert!(client.until(|next| next.kind == kind::HEADERS).await.is_ok());
    }
    open
}
