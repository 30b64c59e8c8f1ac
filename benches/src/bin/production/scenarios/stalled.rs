//! Clients that take nothing, whose streams have reached their age.

use std::time::{Duration, Instant};

use super::{Scale, seconds};
use crate::{
    figure::Figure,
    processes::{Crowd, Server},
    server::{NEWS, Settings},
};

/// In milliseconds. The body of none of them is polled by then.
const MAX_AGE: u64 = 3_000;

const LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    let clients = scale.of(200, 20);
    let mut figures = Vec::new();
    for http in ["HTTP/1.1", "HTTP/2"] {
        let is_http2 = http == "HTTP/2";
        let settings = Settings { max_age: MAX_AGE, http2: is_http2.into(), ..Settings::default() };
        let mut server = Server::start(framework, &settings).await;
        let start = Instant::now();
        let crowd = if is_http2 {
            Crowd::stalled(server.addr, clients, 20).await
        } else {
            Crowd::hold(server.addr, clients, 0, "/events").await
        };
        let (opened, open) = (start.elapsed(), server.streams().await);
        if !is_http2 {
            crowd.freeze();
        }
        // More than a socket and its peer take, and all of it before they are of age.
        server.ask(&format!("publish {NEWS} 10000 200 2000")).await;
        let time = server.until_streams(0, LIMIT).await.map(|_| start.elapsed().saturating_sub(opened));
        crowd.kill().await;
        let bound = Duration::from_millis(MAX_AGE + 1_000);
        figures.extend([
            Figure::counted(
                &format!("{http}: slots taken, then free"),
                &clients.to_string(),
                format!("{open}, {}", if time.is_some() { "all" } else { "not all" }),
                open == clients && time.is_some(),
            ),
            Figure::timed(
                &format!("{http}: free, after the last was opened"),
                &format!("≤ {} s", bound.as_secs()),
                seconds(time, LIMIT),
                time.is_some_and(|time| time <= bound),
            ),
        ]);
    }
    figures
}
