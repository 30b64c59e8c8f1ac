//! A server is told to stop.

use std::time::{Duration, Instant};

use super::{Scale, number, seconds};
use crate::{
    crowd::now,
    figure::Figure,
    processes::{Crowd, Server},
    publisher::Publisher,
    server::{ITEMS, Settings},
};

/// In milliseconds.
const WINDOW: u64 = 5_000;

/// Into how many parts the window is cut.
const PARTS: usize = 10;

/// More than a window and what a server has afterwards.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    let clients = scale.of(2_000, 100);
    let settings = Settings { window: WINDOW, ..Settings::default() };
    let mut server = Server::start(framework, &settings).await;
    let mut crowd = Crowd::hold(server.addr, clients, 0, "/events").await;
    let mut own = Crowd::hold(server.addr, 1, 0, "/own").await;
    let mut publisher = Publisher::new(server.addr);
    publisher.tell_time(20, Duration::from_millis(50)).await;
    let open = server.streams().await;

    let (signal, start) = (now(), Instant::now());
    server.terminate();
    let publish = async {
        loop {
            // Until it takes nothing more.
            if publisher.post("/publish", "still here").await.is_err() {
                break std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let status = tokio::select! {
        status = server.exit(LIMIT) => status,
        () = publish => None,
    };
    let took = start.elapsed();
    let (stats, own) = (crowd.stats().await, own.stats().await);

    let ends: Vec<u64> =
        stats["ends"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64).collect();
    let mut parts = [0; PARTS];
    for end in &ends {
        let millis = end.saturating_sub(signal) / 1_000_000;
        parts[((millis * PARTS as u64 / WINDOW) as usize).min(PARTS - 1)] += 1;
    }
    let busiest = parts.iter().copied().max().unwrap_or_default();
    let (mean, whole) = (clients as f64 / PARTS as f64, number(&stats, "whole"));
    let ratio = f64::from(busiest) / mean;
    let bound = Duration::from_millis(WINDOW) + Duration::from_secs(3);
    let said = format!(
        "{} of {ITEMS}, {}",
        number(&own, "events"),
        if number(&own, "whole") == 1 { "whole" } else { "cut" }
    );
    vec![
        Figure::counted(
            "streams that ended whole",
            &clients.to_string(),
            whole.to_string(),
            whole == clients && open > clients,
        ),
        Figure::seen("ends in each tenth of the window", parts.map(|part| part.to_string()).join(", ")),
        Figure::timed("busiest tenth × the mean", "≤ 2", format!("{ratio:.2}"), ratio <= 2.0),
        Figure::counted(
            "the own stream",
            &format!("{ITEMS} of {ITEMS}, whole"),
            said,
            number(&own, "events") == ITEMS && number(&own, "whole") == 1,
        ),
        Figure::counted(
            "exit",
            "status 0",
            status.map_or_else(|| "none".to_owned(), |status| status.to_string()),
            status.is_some_and(|status| status.success()),
        ),
        Figure::timed(
            "exit after",
            &format!("≤ {:.0} s", bound.as_secs_f64()),
            seconds(status.map(|_| took), LIMIT),
            status.is_some() && took <= bound,
        ),
    ]
}
