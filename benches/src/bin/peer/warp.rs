//! warp: `reply::stream`, with our head and opening or without, its own `sse`, and ours.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sse_benches::{Channel, Encoded, Published, Text, channel, live, opened};
use sse_warp::{Error, Hub, STREAM_HEADERS, Sse, SseRequest, Subscription, request, with_hub};
use tokio::net::TcpSocket;
use warp::{
    Filter, Reply,
    http::{HeaderValue, StatusCode},
    reply::Response,
    sse,
};

pub(crate) fn floor(port: u16) {
    encoded(port, |channel| streaming(&STREAM_HEADERS, opened(channel)));
}

pub(crate) fn bare(port: u16) {
    encoded(port, |channel| streaming(&[("content-type", "text/event-stream")], live(channel)));
}

fn encoded(port: u16, answer: fn(&Channel<Encoded>) -> Response) {
    let channel = channel::<Encoded>();
    let events = {
        let channel = channel.clone();
        move || answer(&channel)
    };
    serve(port, warp::path!("events").and(warp::get()).map(events).or(publish(channel)));
}

fn streaming(
    head: &[(&'static str, &'static str)],
    events: impl Stream<Item = Encoded> + Send + Sync + 'static,
) -> Response {
    let body = events.map(|Encoded(bytes)| Ok::<_, Infallible>(bytes));
    let mut response = warp::reply::stream(body).into_response();
    for &(name, value) in head {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(crate) fn own(port: u16) {
    let channel = channel::<Text>();
    let events = {
        let channel = channel.clone();
        move || {
            let event =
                |event: Text| Ok::<_, Infallible>(sse::Event::default().data(event.data).id(event.id));
            let keep_alive = sse::keep_alive().interval(Duration::from_secs(15));
            sse::reply(keep_alive.stream(live(&channel).map(event)))
        }
    };
    serve(port, warp::path!("events").and(warp::get()).map(events).or(publish(channel)));
}

pub(crate) fn ours(port: u16, hub: &Hub) {
    fn events(request: SseRequest, hub: Hub) -> Result<Sse<Subscription>, Error> {
        Ok(Sse(hub.open(&request, "news")?))
    }
    async fn publish(hub: Hub, body: Bytes) -> Result<StatusCode, Error> {
        hub.publish("news", text(&body)).await?;
        Ok(StatusCode::ACCEPTED)
    }
    let events = warp::path!("events").and(warp::get()).and(request(hub)).and(with_hub(hub)).map(events);
    let post = warp::path!("publish").and(warp::post()).and(with_hub(hub)).and(warp::body::bytes());
    serve(port, events.or(post.then(publish)));
}

fn text(body: &Bytes) -> &str {
    std::str::from_utf8(body).expect("text")
}

fn publish<E: Published>(
    channel: Channel<E>,
) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone {
    warp::path!("publish").and(warp::post()).and(warp::body::bytes()).map(move |body: Bytes| {
        channel.publish(text(&body));
        StatusCode::ACCEPTED
    })
}

fn serve<F>(port: u16, routes: F)
where
    F: Filter<Error = warp::Rejection> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.set_nodelay(true).expect("an option");
        socket.bind(([127, 0, 0, 1], port).into()).expect("a free port");
        // Served as ours is, so that the body alone makes the difference.
        let server = warp::serve(routes).incoming(socket.listen(1024).expect("a listener"));
        server.graceful(std::future::pending()).run().await;
    });
}
