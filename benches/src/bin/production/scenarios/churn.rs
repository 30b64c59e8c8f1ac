//! Clients that come and go at once.

use std::time::Duration;

use tokio::time::sleep;

use super::{Scale, number, seconds};
use crate::{
    figure::Figure,
    processes::{Crowd, Server},
    server::Settings,
};

/// Longer than the longest keep-alive.
const LIMIT: Duration = Duration::from_secs(40);

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    let (rate, time) = scale.of(("3000", "60"), ("200", "2"));
    let settings = Settings { keep_alive: scale.of(15_000, 1_000), ..Settings::default() };
    let mut server = Server::start(framework, &settings).await;
    // What the first ones cause to be set up.
    Crowd::result(server.addr, "churn", &["100", "1"]).await;
    sleep(scale.of(Duration::from_secs(16), Duration::from_secs(2))).await;
    let base = server.resident() / 1024.0;

    let came = Crowd::result(server.addr, "churn", &[rate, time]).await;
    let freed = server.until_streams(0, LIMIT).await;
    sleep(scale.of(Duration::from_secs(5), Duration::ZERO)).await;
    let (peak, after) = (server.peak() / 1024.0, server.resident() / 1024.0);
    // Some allocators give back what was not used for a while.
    sleep(scale.of(Duration::from_secs(25), Duration::ZERO)).await;
    let later = server.resident() / 1024.0;
    let (opened, failed) = (number(&came, "opened"), number(&came, "failed"));
    let each_second = opened as f64 / came["seconds"].as_f64().unwrap_or(f64::NAN);
    vec![
        Figure::seen("opened a second", format!("{each_second:.0}")),
        Figure::counted(
            "that were served, and not",
            "all, 0",
            format!("{opened}, {failed}"),
            opened > 0 && failed == 0,
        ),
        Figure::timed("peak RSS", "≤ 250 MB", format!("{peak:.0} MB"), peak <= 250.0),
        Figure::seen("RSS before; 5 s, 30 s after all slots are free", {
            format!("{base:.0}; {after:.0}, {later:.0} MB")
        }),
        Figure::counted(
            "slots free in the end",
            "all",
            if freed.is_some() { "all" } else { "not all" }.to_owned(),
            freed.is_some(),
        ),
        Figure::timed(
            "slots free after the last",
            "≤ 16 s",
            seconds(freed, LIMIT),
            freed.is_some_and(|freed| freed <= Duration::from_secs(16)),
        ),
    ]
}
