//! [`Scenario`]: what is done to a server, and what is looked at meanwhile.

mod asking;
mod churn;
mod drain;
mod frozen;
mod http2;
mod idle;
mod killed;
mod rolling;
mod stalled;
pub(crate) mod topics;
pub(crate) mod vanished;

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::{
    figure::Figure,
    processes::{Crowd, Server},
    publisher::Publisher,
};

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Full,
    Short,
}

impl Scale {
    fn of<T>(self, full: T, short: T) -> T {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
}

/// How long it takes until all streams are gone, amid 50 events a second or without any.
async fn until_free(
    server: &mut Server,
    publisher: &mut Publisher,
    traffic: bool,
    limit: Duration,
) -> Option<Duration> {
    if !traffic {
        return server.until_streams(0, limit).await;
    }
    tokio::select! {
        () = publisher.tell_time(usize::MAX, Duration::from_millis(20)) => None,
        time = server.until_streams(0, limit) => time,
    }
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether it is part of the short form.
    pub(crate) is_cheap: bool,
    pub(crate) by_framework: bool,
}

const fn scenario(name: &'static str, is_cheap: bool, about: &'static str) -> Scenario {
    Scenario { name, about, is_cheap, by_framework: true }
}

pub(crate) const SCENARIOS: [Scenario; 11] = [
    scenario(
        "idle",
        true,
        "9,000 connections that wait, on one process; five events, one after the other, to all of them. Memory beside \
         the framework's own events with as many clients.",
    ),
    scenario(
        "killed",
        true,
        "SIGKILL of a process with 1,000 clients, amid 50 events a second and without any; where only a write shows that \
         they are gone, 18 s after they came.",
    ),
    scenario(
        "frozen",
        false,
        "1,000 clients that read nothing any more (SIGSTOP) while 100 MB are published in ten seconds, and ten clients \
         that read all of it. How late these have one of 50 small events a second, beside the frozen ones and without \
         them. A user timeout of 20 s.",
    ),
    scenario(
        "stalled",
        true,
        "200 clients that take nothing more while events come: over HTTP/1.1 stopped (SIGSTOP), over HTTP/2 by flow \
         control on connections that are well. A maximum age of 3 s.",
    ),
    scenario(
        "vanished",
        false,
        "1,000 clients in a network namespace that takes and gives no packet any more: no FIN, no RST. Keep-alive after \
         2 s, a user timeout of 5 s.",
    ),
    scenario(
        "churn",
        true,
        "Clients that open a stream and leave at once, up to 3,000 a second for a minute.",
    ),
    scenario(
        "drain",
        true,
        "SIGTERM with 2,000 open streams and 20 events a second, a window of 5 s. When the streams end, by tenths of the \
         window; and a stream of the application's own, which has 4 s to speak and began before the signal.",
    ),
    scenario(
        "rolling",
        true,
        "2,000 pages behind a balancer that asks `/readyz` every 100 ms, 50 events a second. A second process starts, \
         then the first has SIGTERM: a notice of 1 s, a window of 10 s.",
    ),
    scenario(
        "asking",
        true,
        "One client comes back 1,000 times with the oldest id of a log of 10 MB, as fast as it can; 50 others have \
         50 events a second. Without a limit of connects, and with one.",
    ),
    scenario("http2", true, "Many streams on one connection over HTTP/2, and 50 that are reset."),
    Scenario {
        name: "topics",
        about: "A million topics, each with a subscriber and an event, come and go in a process whose log is full.",
        is_cheap: false,
        by_framework: false,
    },
];

impl Scenario {
    /// What it showed.
    ///
    /// # Errors
    /// Why it cannot run here.
    pub(crate) async fn run(&self, scale: Scale, framework: &str) -> Result<Vec<Figure>, String> {
        match self.name {
            "idle" => Ok(idle::run(scale, framework).await),
            "killed" => Ok(killed::run(scale, framework).await),
            "frozen" => Ok(frozen::run(scale, framework).await),
            "stalled" => Ok(stalled::run(scale, framework).await),
            "vanished" => vanished::run(framework).await,
            "churn" => Ok(churn::run(scale, framework).await),
            "drain" => Ok(drain::run(scale, framework).await),
            "rolling" => Ok(rolling::run(scale, framework).await),
            "asking" => Ok(asking::run(scale, framework).await),
            "http2" => Ok(http2::run(scale, framework).await),
            "topics" => Ok(topics::run(scale)),
            other => Err(format!("no scenario {other}")),
        }
    }
}

/// The crowd's numbers once it has had so many events; after half a minute as they are then.
async fn delivered(crowd: &mut Crowd, events: usize) -> Value {
    let start = Instant::now();
    loop {
        let stats = crowd.stats().await;
        if number(&stats, "events") >= events || start.elapsed() > Duration::from_secs(30) {
            return stats;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn number(of: &Value, name: &str) -> usize {
    of[name].as_u64().unwrap_or_default() as usize
}

/// Of nanoseconds.
fn millis(of: &Value, name: &str) -> f64 {
    of[name].as_u64().map_or(f64::NAN, |nanos| nanos as f64 / 1e6)
}

/// `0.3 / 1.2 / 16 ms`
fn quantiles(stats: &Value) -> String {
    format!("{:.1} / {:.1} / {:.0} ms", millis(stats, "p50"), millis(stats, "p99"), millis(stats, "max"))
}

fn seconds(time: Option<Duration>, limit: Duration) -> String {
    time.map_or_else(
        || format!("> {:.0} s", limit.as_secs_f64()),
        |time| format!("{:.2} s", time.as_secs_f64()),
    )
}
