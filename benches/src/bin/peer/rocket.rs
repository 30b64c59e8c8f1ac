//! Rocket: `ByteStream`, with our head and opening or without, and its own `EventStream`.

use bytes::Bytes;
use rocket::{
    Config, Request, Route, State,
    futures::{Stream, StreamExt},
    get,
    http::Status,
    post,
    response::{
        self, Responder,
        stream::{ByteStream, Event, EventStream},
    },
    routes,
};
use sse_benches::{Channel, Encoded, Published, Text, channel, live, opened};
use sse_rocket::STREAM_HEADERS;

pub(crate) fn serve(port: u16, routes: Vec<Route>) {
    let config = Config::figment().merge(("port", port));
    let rocket =
        rocket::custom(config).manage(channel::<Encoded>()).manage(channel::<Text>()).mount("/", routes);
    rocket::execute(rocket.launch()).expect("a server");
}

fn publish<E: Published>(channel: &Channel<E>, body: &str) -> Status {
    channel.publish(body);
    Status::Accepted
}

/// A response with our header fields.
struct Headed<R>(R);

impl<'r, 'o: 'r, R: Responder<'r, 'o>> Responder<'r, 'o> for Headed<R> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'o> {
        let mut response = self.0.respond_to(request)?;
        for (name, value) in STREAM_HEADERS {
            response.set_raw_header(name, value);
        }
        Ok(response)
    }
}

#[post("/publish", data = "<body>")]
fn publish_encoded(channel: &State<Channel<Encoded>>, body: &str) -> Status {
    publish(channel, body)
}

pub(crate) fn floor() -> Vec<Route> {
    #[get("/events")]
    fn events(channel: &State<Channel<Encoded>>) -> Headed<ByteStream<impl Stream<Item = Bytes> + use<>>> {
        Headed(ByteStream(opened(channel).map(|Encoded(bytes)| bytes)))
    }
    routes![events, publish_encoded]
}

pub(crate) fn bare() -> Vec<Route> {
    #[get("/events")]
    fn events(channel: &State<Channel<Encoded>>) -> ByteStream<impl Stream<Item = Bytes> + use<>> {
        ByteStream(live(channel).map(|Encoded(bytes)| bytes))
    }
    routes![events, publish_encoded]
}

pub(crate) fn own() -> Vec<Route> {
    #[get("/events")]
    fn events(channel: &State<Channel<Text>>) -> EventStream<impl Stream<Item = Event> + use<>> {
        let events = live(channel).map(|event| Event::data(event.data).id(event.id));
        EventStream::from(events).heartbeat(rocket::tokio::time::Duration::from_secs(15))
    }
    #[post("/publish", data = "<body>")]
    fn post(channel: &State<Channel<Text>>, body: &str) -> Status {
        publish(channel, body)
    }
    routes![events, post]
}
