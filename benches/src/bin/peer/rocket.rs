//! Rocket: `ByteStream`, and its own `EventStream`.

use rocket::{
    Config, Route, State,
    futures::{Stream, StreamExt},
    get,
    http::Status,
    post,
    response::stream::{ByteStream, Event, EventStream},
    routes,
};
use sse_benches::{Channel, Encoded, Published, Text, channel, live};

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

pub(crate) fn floor() -> Vec<Route> {
    #[get("/events")]
    fn events(channel: &State<Channel<Encoded>>) -> ByteStream<impl Stream<Item = bytes::Bytes> + use<>> {
        ByteStream(live(channel).map(|Encoded(bytes)| bytes))
    }
    #[post("/publish", data = "<body>")]
    fn post(channel: &State<Channel<Encoded>>, body: &str) -> Status {
        publish(channel, body)
    }
    routes![events, post]
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
