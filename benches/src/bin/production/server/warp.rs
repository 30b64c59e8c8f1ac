//! On warp.

use std::convert::Infallible;

use ::warp::{Filter, Reply, http::StatusCode, reply::Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use sse_benches::{Channel, Encoded, live};
use sse_warp::{Error, Hub, Sse, SseRequest, request, with_hub};

use super::{App, NEWS};

fn events(request: SseRequest, hub: Hub) -> Result<Sse, Error> {
    Ok(Sse(hub.open(&request, request.any_topics(NEWS)?)?))
}

async fn publish(request: SseRequest, hub: Hub, body: Bytes) -> Result<StatusCode, Error> {
    let body = std::str::from_utf8(&body).expect("text");
    hub.publish(request.any_topics(NEWS)?, body).await?;
    Ok(StatusCode::ACCEPTED)
}

fn bare(channel: &Channel<Encoded>) -> Response {
    let events = live(channel).map(|Encoded(bytes)| Ok::<_, Infallible>(bytes));
    ::warp::reply::with_header(::warp::reply::stream(events), "content-type", "text/event-stream")
        .into_response()
}

#[tokio::main]
pub(super) async fn serve(app: App) {
    let sse = request(&app.hub).and(with_hub(&app.hub));
    let (own, ready) = (app.clone(), app.clone());
    let (reads, writes) = (app.bare.clone(), app.bare.clone());
    let own = move |request: SseRequest| -> Result<_, Error> { Ok(Sse(own.own(&request)?)) };
    let ready = move || if ready.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let publish = ::warp::path!("publish")
        .and(::warp::post())
        .and(sse.clone())
        .and(::warp::body::bytes())
        .then(publish)
        .map(Reply::into_response);
    let routes = ::warp::path!("events")
        .and(::warp::get())
        .and(sse)
        .map(events)
        .or(::warp::path!("own").and(::warp::get()).and(request(&app.hub)).map(own))
        .or(publish)
        .or(::warp::path!("bare").and(::warp::get()).map(move || bare(&reads)))
        .or(::warp::path!("bare").and(::warp::post()).and(::warp::body::bytes()).map(move |body: Bytes| {
            writes.publish(std::str::from_utf8(&body).expect("text"));
            StatusCode::ACCEPTED
        }))
        .or(::warp::path!("readyz").and(::warp::get()).map(ready));

    let listener = app.listen.bind(app.addr()).expect("a free port");
    app.listens(listener.local_addr().expect("an address"));
    let server = sse_warp::serve(::warp::service(routes), &app.hub);
    let server = if app.http2 { server.http2() } else { server };
    server.run(listener).await.expect("a server");
}
