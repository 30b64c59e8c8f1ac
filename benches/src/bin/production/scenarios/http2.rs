//! Many streams on one connection.

use std::time::Duration;

use super::{Scale, delivered, number, seconds, until_free};
use crate::{
    figure::Figure,
    processes::{Crowd, Server},
    publisher::Publisher,
    server::Settings,
};

const MANY: usize = 200;
const RESET: usize = 50;

/// Longer than the longest keep-alive.
const LIMIT: Duration = Duration::from_secs(40);

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    let settings = Settings { keep_alive: scale.of(15_000, 1_000), http2: 1, ..Settings::default() };
    let mut server = Server::start(framework, &settings).await;
    let mut publisher = Publisher::new(server.addr);
    let mut crowd = Crowd::hold(server.addr, MANY, MANY, "/events").await;
    let open = server.streams().await;
    publisher.tell_time(3, Duration::from_millis(20)).await;
    let had = number(&delivered(&mut crowd, 3 * MANY).await, "events");
    drop(crowd);
    server.until_streams(0, LIMIT).await;

    let mut figures = vec![
        Figure::counted("streams on one connection", &MANY.to_string(), open.to_string(), open == MANY),
        Figure::counted(
            "of three events, arrived",
            &(3 * MANY).to_string(),
            had.to_string(),
            had == 3 * MANY,
        ),
    ];
    for traffic in [true, false] {
        let mut crowd = Crowd::hold(server.addr, RESET, RESET, "/events").await;
        let before = server.streams().await;
        crowd.ask("leave").await;
        let time = until_free(&mut server, &mut publisher, traffic, LIMIT).await;
        let with = if traffic { "50 reset, 50 events a second" } else { "50 reset, idle" };
        // Who notices at a write has none before the next keep-alive.
        let bound = if traffic || framework == "warp" { 1 } else { 16 };
        figures.extend([
            Figure::counted(
                &format!("{with}: slots taken, then free"),
                &RESET.to_string(),
                format!("{before}, {}", if time.is_some() { "all" } else { "not all" }),
                before == RESET && time.is_some(),
            ),
            Figure::timed(
                &format!("{with}: free after"),
                &format!("≤ {bound} s"),
                seconds(time, LIMIT),
                time.is_some_and(|time| time <= Duration::from_secs(bound)),
            ),
        ]);
    }
    figures
}
