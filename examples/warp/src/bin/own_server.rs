//! The quickstart's stream on warp behind a hyper server of one's own, which sends an event with less work:
//! `cargo run -p example-warp --bin own_server`

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use hyper::{server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use sse_warp::{Error, Hub, Lifecycle, PeerAddr, Refusal, Sse, SseRequest, request, with_hub};
use tokio::net::TcpListener;
use warp::{Filter, Reply, http::StatusCode, reply};

/// All that anybody may read and publish to; any other topic is a 403. With a sign-in: see `notifications`.
const OPEN: [&str; 2] = ["news", "public/*"];

fn events(request: SseRequest, hub: Hub) -> Result<Sse, Error> {
    request.subscribe(&hub, request.topics("news", OPEN)?)
}

async fn publish(request: SseRequest, hub: Hub, body: Bytes) -> Result<impl Reply, Error> {
    let not_text = |_| Refusal::bad_request("The body must be UTF-8.");
    let body = String::from_utf8(body.into()).map_err(not_text)?;
    let id = hub.publish(request.topics("news", OPEN)?, body).await?;
    Ok(reply::with_status(reply::json(&serde_json::json!({ "id": id })), StatusCode::ACCEPTED))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().lifecycle(&lifecycle).build();
    let sse = request(&hub).and(with_hub(&hub));
    let body = warp::body::content_length_limit(256 << 10).and(warp::body::bytes());
    let routes = warp::path!("events")
        .and(warp::get())
        .and(sse.clone())
        .map(events)
        .or(warp::path!("publish").and(warp::post()).and(sse).and(body).then(publish))
        .or(warp::path::end().and(warp::get()).map(|| reply::html(include_str!("../../../quickstart.html"))));

    let service = TowerToHyperService::new(warp::service(routes));
    let mut http = http1::Builder::new();
    // One copy of an event into a flat buffer costs less than a write of three parts.
    http.writev(false).timer(TokioTimer::new());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://127.0.0.1:{port}");

    let connections = GracefulShutdown::new();
    let mut stop = pin!(lifecycle.stop_on_signal()); // ends the streams, then the server
    loop {
        let (socket, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => {
                    // Too many open files, most likely.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = socket.set_nodelay(true); // fails where the client has gone already
        let service = service.clone();
        let with_peer = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
            request.extensions_mut().insert(PeerAddr(peer)); // warp's own is private
            service.call(request)
        });
        let connection = http.serve_connection(TokioIo::new(socket), with_peer);
        tokio::spawn(connections.watch(connection));
    }
    drop(listener);
    lifecycle.limit(connections.shutdown()).await; // does not wait for a client that stopped reading
    Ok(())
}
