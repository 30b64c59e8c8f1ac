//! warp: `reply::stream`, and its own `sse`.

use std::{convert::Infallible, time::Duration};

use futures_util::StreamExt;
use sse_benches::{Channel, Encoded, Published, Text, channel, live};
use tokio::net::TcpSocket;
use warp::{Filter, Reply, http::StatusCode, sse};

pub(crate) fn floor(port: u16) {
    let channel = channel::<Encoded>();
    let events = {
        let channel = channel.clone();
        move || {
            let body = live(&channel).map(|Encoded(bytes)| Ok::<_, Infallible>(bytes));
            warp::reply::with_header(warp::reply::stream(body), "content-type", "text/event-stream")
        }
    };
    serve(port, warp::path!("events").and(warp::get()).map(events).or(publish(channel)));
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

fn publish<E: Published>(
    channel: Channel<E>,
) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone {
    warp::path!("publish").and(warp::post()).and(warp::body::bytes()).map(move |body: bytes::Bytes| {
        channel.publish(std::str::from_utf8(&body).expect("text"));
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
