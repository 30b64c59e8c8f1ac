//! What ours is measured against, one server per run: `peer actix-floor` and so on. `PORT` is where it listens.
//!
//! All take `GET /events` and `POST /publish`. The *floor* is the framework's streaming body of bytes that were
//! encoded once, behind the header fields and opening bytes that ours sends: more of them cost the framework
//! more, which is no cost of ours. *bare* is the same body with its media type alone and no opening; *own* is the
//! framework's own events, encoded for every client as it does that.
//!
//! `peer linger-actix 5` and so on are ours, with a hub that merges events within so many milliseconds; 0 for none.
//! `peer engine-actix` and so on are ours, with a hub on the Redis that `ENGINE_URL` names.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

mod actix;
mod epoll;
mod rocket;
mod warp;

use std::time::Duration;

use sse_actix::Hub;

fn main() {
    let port: u16 = std::env::var("PORT").expect("PORT").parse().expect("a port");
    match std::env::args().nth(1).as_deref() {
        Some("actix-floor") => actix::serve(port, Hub::new(), actix::floor).expect("a server"),
        Some("actix-bare") => actix::serve(port, Hub::new(), actix::bare).expect("a server"),
        Some("actix-own") => actix::serve(port, Hub::new(), actix::own).expect("a server"),
        Some("rocket-floor") => rocket::serve(port, rocket::floor),
        Some("rocket-bare") => rocket::serve(port, rocket::bare),
        Some("rocket-own") => rocket::serve(port, rocket::own),
        Some("warp-floor") => warp::floor(port),
        Some("warp-bare") => warp::bare(port),
        Some("warp-own") => warp::own(port),
        Some("epoll") => epoll::serve(port, epoll::Writes::EachEvent).expect("a server"),
        Some("epoll-log") => epoll::serve(port, epoll::Writes::AllDue).expect("a server"),
        Some("linger-actix") => actix::serve(port, hub(), actix::ours).expect("a server"),
        Some("linger-rocket") => rocket::serve(port, |rocket| rocket::ours(rocket, &hub())),
        Some("linger-warp") => warp::ours(port, &hub()),
        Some("engine-actix") => actix::serve(port, fed(), actix::ours).expect("a server"),
        Some("engine-rocket") => rocket::serve(port, |rocket| rocket::ours(rocket, &fed())),
        Some("engine-warp") => warp::ours(port, &fed()),
        other => eprintln!("peer: unknown server {other:?}"),
    }
}

/// A hub that merges events within as many milliseconds as the second argument says.
fn hub() -> Hub {
    let millis = std::env::args().nth(2).expect("milliseconds").parse().expect("a number");
    Hub::builder().linger(Duration::from_millis(millis)).build()
}

/// A hub that follows an engine in a runtime of its own.
fn fed() -> Hub {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    // For as long as the process lives.
    let runtime: &'static _ = Box::leak(Box::new(runtime.expect("a runtime")));
    runtime.block_on(async {
        let engine = sse_redis::Redis::connect(std::env::var("ENGINE_URL").expect("ENGINE_URL")).await;
        Hub::builder().engine(engine.expect("Redis")).build().await.expect("a hub")
    })
}
