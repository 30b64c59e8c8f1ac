//! Every byte of events of all sizes and counts, whatever feeds the stream and whoever reads it. Meanwhile and
//! afterwards the server answers others, and when nothing is left to do, it does nothing.
//!
//! Sizes are dense where servers' buffers end: what goes wrong there concerns one size in thousands, and may stop
//! the whole server. Here only some of the cases are run; `SSE_SWEEP=full` runs all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

mod case;
mod client;
mod text;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    io::Write as _,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use sse_tests::{
    http,
    process::Process,
    servers::Framework,
    traffic::{self, Own},
};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};

use case::{Case, Reader};
use client::{Clients, Connection};
use text::Text;

/// Cases at a time.
const AT_ONCE: usize = 48;

/// The server must answer others in this time. It takes far less, but for a busy machine.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// What feeds a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The hub, from before the events.
    Replay,
    /// The hub, as they are published.
    Live,
    /// The application, all of them at once.
    AtOnce,
    /// The application, 2 ms before each.
    Paced,
}

async fn what_the_hub_replays(framework: Framework) {
    sweep(framework, Source::Replay).await;
}

async fn what_the_hub_is_given(framework: Framework) {
    sweep(framework, Source::Live).await;
}

async fn own_events_all_at_once(framework: Framework) {
    sweep(framework, Source::AtOnce).await;
}

async fn own_events_one_by_one(framework: Framework) {
    sweep(framework, Source::Paced).await;
}

sse_tests::on_each_framework! {
    what_the_hub_replays
    what_the_hub_is_given
    own_events_all_at_once
    own_events_one_by_one
}

async fn sweep(framework: Framework, source: Source) {
    let cases = cases();
    let (start, count) = (Instant::now(), cases.len());
    let server = Process::start(env!("CARGO_BIN_EXE_sweep-server"), framework).await;
    let sweep =
        Arc::new(Sweep { clients: Clients::new(server.addr), server, source, under_way: Mutex::default() });
    let result = tokio::select! {
        result = Arc::clone(&sweep).run(cases) => result,
        error = sweep.watch() => Err(error),
    };
    if let Err(error) = result {
        let answers = match sweep.answers().await {
            Ok(took) => format!("the server answers others in {took:?}"),
            Err(error) => error,
        };
        let idle = sweep.server.idle().await.map_or_else(|busy| busy, |()| "its threads are idle".to_owned());
        panic!("{framework}, {source:?}: {error}\nafterwards {answers}, and {idle}");
    }
    println!("{framework}, {source:?}: {count} cases in {:?}", start.elapsed());
}

/// Those to run. Says once what is left out.
fn cases() -> Vec<Case> {
    static SAID: Once = Once::new();
    if std::env::var("SSE_SWEEP").is_ok_and(|form| form == "full") {
        return case::all();
    }
    let some = case::some();
    SAID.call_once(|| {
        let (some, all) = (some.len(), case::all().len());
        // Unlike eprint!, this is not captured by the test harness.
        let _ = writeln!(
            std::io::stderr(),
            "left out: {} of {all} cases of every sweep; SSE_SWEEP=full runs them",
            all - some
        );
    });
    some
}

/// One server under its clients.
#[derive(Debug)]
struct Sweep {
    server: Process,
    clients: Clients,
    source: Source,
    under_way: Mutex<BTreeMap<usize, Case>>,
}

impl Sweep {
    /// Runs the cases, some at a time; then looks at a server that has nothing to do, with clients and without.
    async fn run(self: Arc<Self>, cases: Vec<Case>) -> Result<(), String> {
        let mut running = JoinSet::new();
        // The last ones stay until the end.
        let mut open = VecDeque::new();
        for (number, case) in cases.into_iter().enumerate() {
            if running.len() == AT_ONCE {
                keep(&mut open, running.join_next().await)?;
            }
            let sweep = Arc::clone(&self);
            running.spawn(async move {
                sweep.under_way().insert(number, case);
                let read = sweep.read(number, &case).await.map_err(|error| format!("{case}: {error}"));
                sweep.under_way().remove(&number);
                read
            });
        }
        while let Some(done) = running.join_next().await {
            keep(&mut open, Some(done))?;
        }
        self.server.idle().await.map_err(|busy| format!("clients have all, and {busy}"))?;
        drop(open);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.server.streams().await > 0 {
            if Instant::now() > deadline {
                return Err(format!("clients have left, and {} streams stay", self.server.streams().await));
            }
            sleep(Duration::from_millis(50)).await;
        }
        self.server.idle().await.map_err(|busy| format!("clients have left, and {busy}"))
    }

    /// One client. What stays open of it is given back.
    async fn read(&self, number: usize, case: &Case) -> Result<Option<Connection>, String> {
        let &Case { count, len, .. } = case;
        let topic = format!("t{number}");
        let events = format!("/events?topic={topic}");
        let (mut connection, mut text) = match self.source {
            Source::AtOnce | Source::Paced => {
                let apart = Duration::from_millis(if self.source == Source::Paced { 2 } else { 0 });
                let path = format!("/own/{}", Own { count, len, apart });
                let expected = (0..count).map(|n| format!("data: {}\n\n", traffic::data(n, len)));
                let text = Text::new(expected.collect::<String>().into_bytes());
                (self.clients.open(case, &path, None).await?, text)
            }
            Source::Replay => {
                let (before, ids) = self.server.publish(&topic, len, count).await;
                let connection = self.clients.open(case, &events, Some(&before)).await?;
                (connection, Text::new(blocks(&ids, len)))
            }
            Source::Live => {
                let mut connection = self.clients.open(case, &events, None).await?;
                let mut opening = Vec::new();
                while !opening.ends_with(b"\n\n") {
                    let bytes = connection.read().await.map_err(|error| format!("the opening: {error}"))?;
                    opening.extend(bytes.ok_or("the stream ended in its opening")?);
                }
                if !String::from_utf8_lossy(&opening).contains("\nevent: sse-position\ndata: {}\nid: ") {
                    return Err(format!("the opening is {:?}", String::from_utf8_lossy(&opening)));
                }
                let (_, ids) = self.server.publish(&topic, len, count).await;
                (connection, Text::opened(blocks(&ids, len)))
            }
        };
        let leaves = case.reader == Reader::Leaver;
        read_all(&mut connection, &mut text, leaves).await?;
        if leaves {
            return Ok(None);
        }
        if matches!(self.source, Source::Replay | Source::Live) {
            // It goes on, with nothing between.
            let (_, ids) = self.server.publish(&topic, 3, 1).await;
            text.expect(&blocks(&ids, 3));
            read_all(&mut connection, &mut text, false).await?;
            return Ok(Some(connection));
        }
        while let Some(bytes) = connection.read().await.map_err(|error| format!("no end: {error}"))? {
            text.take(&bytes)?;
        }
        Ok(None)
    }

    /// Asks all the time whether the server still answers. The error when it does not.
    async fn watch(&self) -> String {
        loop {
            if let Err(error) = self.answers().await {
                let cases: Vec<_> = self.under_way().values().map(Case::to_string).collect();
                return format!("{error}; under way: {}", cases.join(", "));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// In what time the server answers others.
    async fn answers(&self) -> Result<Duration, String> {
        let start = Instant::now();
        let page =
            timeout(ANSWERS_WITHIN, async { http::get(self.server.addr, "/blank").await.rest().await });
        match page.await {
            Ok(page) if page == "<!doctype html>" => Ok(start.elapsed()),
            Ok(page) => Err(format!("the server answers others with {page:?}")),
            Err(_) => Err(format!("the server does not answer others within {ANSWERS_WITHIN:?}")),
        }
    }

    fn under_way(&self) -> impl std::ops::DerefMut<Target = BTreeMap<usize, Case>> {
        self.under_way.lock().unwrap()
    }
}

/// Reads what is expected, or half of it.
async fn read_all(connection: &mut Connection, text: &mut Text, half: bool) -> Result<(), String> {
    while !(text.is_whole() || half && text.is_half()) {
        let read = connection.read().await.map_err(|error| format!("{}, then {error}", text.progress()))?;
        let bytes = read.ok_or_else(|| format!("{}, then it ended", text.progress()))?;
        text.take(&bytes)?;
    }
    Ok(())
}

/// What the hub sends of events with these ids.
fn blocks(ids: &[String], len: usize) -> Vec<u8> {
    let ids = ids.iter().enumerate();
    ids.map(|(n, id)| format!("data: {}\nid: {id}\n\n", traffic::data(n, len)))
        .collect::<String>()
        .into_bytes()
}

type Done = Result<Result<Option<Connection>, String>, JoinError>;

fn keep(open: &mut VecDeque<Connection>, done: Option<Done>) -> Result<(), String> {
    if let Some(done) = done
        && let Some(connection) = done.map_err(panicked)??
    {
        open.push_back(connection);
        if open.len() > AT_ONCE {
            open.pop_front();
        }
    }
    Ok(())
}

fn panicked(error: impl fmt::Display) -> String {
    format!("a client failed, see above: {error}")
}
