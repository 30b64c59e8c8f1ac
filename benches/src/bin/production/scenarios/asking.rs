//! One client asks for the whole past, again and again.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::{Scale, millis, number, quantiles};
use crate::{
    figure::Figure,
    processes::{Crowd, Server},
    publisher::Publisher,
    server::{NEWS, Settings},
};

/// Others, who look at the time; fewer than may connect in a minute.
const OTHERS: usize = 50;

/// What one connection is sent of the past unless an endpoint says more, and what stands around it.
const CAP: usize = (1 << 20) + (64 << 10);

/// How many connects a minute one address may have, in the second part.
const CONNECTS: u64 = 60;

/// After how long what was said has arrived.
const SETTLED: Duration = Duration::from_millis(500);

/// Between two events.
const APART: Duration = Duration::from_millis(20);

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    let free = part(scale, framework, 0, scale.of(1_000, 20)).await;
    let limited = part(scale, framework, CONNECTS, scale.of(1_000, 80)).await;

    let (most, failed) = (number(&free.came, "most"), number(&free.came, "failed"));
    let (refused, let_in) = (number(&limited.came, "refused"), number(&limited.came, "ended"));
    // The time that it takes lets in some more.
    let bound = 2 * CONNECTS as usize;
    let with = format!("with {CONNECTS} connects a minute");
    vec![
        Figure::counted(
            "most bytes of one connect",
            &format!("≤ {CAP}"),
            most.to_string(),
            (1..=CAP).contains(&most),
        ),
        Figure::seen(
            "connects; bytes of all of them",
            format!("{}; {:.0} MB", number(&free.came, "came"), number(&free.came, "bytes") as f64 / 1e6),
        ),
        Figure::counted("connects that failed", "0", failed.to_string(), failed == 0),
        Figure::seen("others, alone: p50 / p99 / max", quantiles(&free.alone)),
        Figure::seen("others, beside it: p50 / p99 / max", quantiles(&free.beside)),
        Figure::seen("p99 beside it × alone", format!("{:.1}", free.ratio())),
        Figure::counted(
            &format!("{with}: let in, refused"),
            &format!("≤ {bound}, the others"),
            format!("{let_in}, {refused}"),
            refused > 0 && let_in > 0 && let_in <= bound,
        ),
        Figure::seen(&format!("{with}: others, alone"), quantiles(&limited.alone)),
        Figure::seen(&format!("{with}: others, beside it"), quantiles(&limited.beside)),
        Figure::timed(
            &format!("{with}: p99 beside it × alone"),
            "≤ 1.5",
            format!("{:.1}", limited.ratio()),
            limited.ratio() <= 1.5,
        ),
    ]
}

struct Seen {
    /// What others saw before it came.
    alone: Value,
    /// And while it did.
    beside: Value,
    /// What it got.
    came: Value,
}

impl Seen {
    fn ratio(&self) -> f64 {
        millis(&self.beside, "p99") / millis(&self.alone, "p99")
    }
}

/// One client that asks so often, where so many connects a minute are allowed; 0 for any number.
async fn part(scale: Scale, framework: &str, connects: u64, times: usize) -> Seen {
    let settings = Settings { connects, ..Settings::default() };
    let mut server = Server::start(framework, &settings).await;
    let id = server.ask("position").await;
    // 10 MB, nearly as many events as a log keeps.
    server.ask(&format!("publish {NEWS} 1000 {} 0", scale.of(9_000, 2_000))).await;
    let mut others = Crowd::hold(server.addr, OTHERS, 0, "/events").await;
    let mut publisher = Publisher::new(server.addr);
    publisher.tell_time(50, APART).await;
    others.ask("clear").await;
    publisher.tell_time(scale.of(500, 20), APART).await;
    sleep(SETTLED).await;
    let alone = others.stats().await;

    others.ask("clear").await;
    let times = times.to_string();
    let args = [times.as_str(), id.as_str()];
    // As long as alone, even where it is refused within a second.
    let least = publisher.tell_time(scale.of(500, 20), APART);
    let (came, ()) = tokio::join!(Crowd::result(server.addr, "ask", &args), least);
    sleep(SETTLED).await;
    let beside = others.stats().await;
    Seen { alone, beside, came }
}
