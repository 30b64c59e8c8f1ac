//! Rocket: `ByteStream`, with our head and opening or without, its own `EventStream`, and ours.

use bytes::Bytes;
use rocket::{
    Build, Config, Request, Rocket, State,
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
use sse_rocket::{Error, Hub, STREAM_HEADERS, Sse, SseRequest, Subscription, with_hub};

pub(crate) fn serve(port: u16, with: impl FnOnce(Rocket<Build>) -> Rocket<Build>) {
    let config = Config::figment().merge(("port", port));
    rocket::execute(with(rocket::custom(config)).launch()).expect("a server");
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
        // Rocket's Shield sets the last of them, and warns of it where it is already.
        for (name, value) in STREAM_HEADERS.into_iter().filter(|(name, _)| *name != "x-content-type-options")
        {
            response.set_raw_header(name, value);
        }
        Ok(response)
    }
}

#[post("/publish", data = "<body>")]
fn publish_encoded(channel: &State<Channel<Encoded>>, body: &str) -> Status {
    publish(channel, body)
}

pub(crate) fn floor(rocket: Rocket<Build>) -> Rocket<Build> {
    #[get("/events")]
    fn events(channel: &State<Channel<Encoded>>) -> Headed<ByteStream<impl Stream<Item = Bytes> + use<>>> {
        Headed(ByteStream(opened(channel).map(|Encoded(bytes)| bytes)))
    }
    rocket.manage(channel::<Encoded>()).mount("/", routes![events, publish_encoded])
}

pub(crate) fn bare(rocket: Rocket<Build>) -> Rocket<Build> {
    #[get("/events")]
    fn events(channel: &State<Channel<Encoded>>) -> ByteStream<impl Stream<Item = Bytes> + use<>> {
        ByteStream(live(channel).map(|Encoded(bytes)| bytes))
    }
    rocket.manage(channel::<Encoded>()).mount("/", routes![events, publish_encoded])
}

pub(crate) fn own(rocket: Rocket<Build>) -> Rocket<Build> {
    #[get("/events")]
    fn events(channel: &State<Channel<Text>>) -> EventStream<impl Stream<Item = Event> + use<>> {
        let events = live(channel).map(|event| Event::data(event.data).id(event.id));
        EventStream::from(events).heartbeat(rocket::tokio::time::Duration::from_secs(15))
    }
    #[post("/publish", data = "<body>")]
    fn post(channel: &State<Channel<Text>>, body: &str) -> Status {
        publish(channel, body)
    }
    rocket.manage(channel::<Text>()).mount("/", routes![events, post])
}

pub(crate) fn ours(rocket: Rocket<Build>, hub: &Hub) -> Rocket<Build> {
    #[get("/events")]
    fn events(request: SseRequest, hub: &State<Hub>) -> Result<Sse<Subscription>, Error> {
        Ok(Sse(hub.open(&request, "news")?))
    }
    #[post("/publish", data = "<body>")]
    async fn publish(hub: &State<Hub>, body: String) -> Result<Status, Error> {
        hub.publish("news", body).await?;
        Ok(Status::Accepted)
    }
    rocket.attach(with_hub(hub)).mount("/", routes![events, publish])
}
