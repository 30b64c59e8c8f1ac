//! A process with many clients ends as `kill -9` has it.

use std::time::Duration;

use tokio::time::sleep;

use super::{Scale, seconds, until_free};
use crate::{
    figure::Figure,
    processes::{Crowd, Server},
    publisher::Publisher,
    server::Settings,
};

/// Longer than the longest keep-alive, twice.
const LIMIT: Duration = Duration::from_secs(40);

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    let clients = scale.of(1_000, 50);
    let mut figures = Vec::new();
    for (http, per_connection) in [("HTTP/1.1", 0), ("HTTP/2", 50)] {
        let http2 = u64::from(per_connection > 0);
        let settings = Settings { keep_alive: scale.of(15_000, 1_000), http2, ..Settings::default() };
        for traffic in [true, false] {
            let mut server = Server::start(framework, &settings).await;
            let crowd = Crowd::hold(server.addr, clients, per_connection, "/events").await;
            let mut publisher = Publisher::new(server.addr);
            publisher.tell_time(10, Duration::from_millis(100)).await;
            // These notice a client's end when they write, and nothing is due before the next keep-alive.
            let at_a_write = framework == "rocket" || (framework == "actix" && per_connection > 0);
            if at_a_write && !traffic {
                // Rocket's first keep-alives follow each other closely; this is about streams that are older.
                sleep(scale.of(Duration::from_secs(17), Duration::ZERO)).await;
            }
            let bound = if at_a_write && !traffic { 16 } else { 1 };
            let open = server.streams().await;
            crowd.kill().await;
            let time = until_free(&mut server, &mut publisher, traffic, LIMIT).await;
            let with = format!("{http}, {}", if traffic { "50 events a second" } else { "idle" });
            figures.push(Figure::counted(
                &format!("{with}: slots taken, then free"),
                &clients.to_string(),
                format!("{open}, {}", if time.is_some() { "all" } else { "not all" }),
                open == clients && time.is_some(),
            ));
            figures.push(Figure::timed(
                &format!("{with}: free after"),
                &format!("≤ {bound} s"),
                seconds(time, LIMIT),
                time.is_some_and(|time| time <= Duration::from_secs(bound)),
            ));
        }
    }
    figures
}
