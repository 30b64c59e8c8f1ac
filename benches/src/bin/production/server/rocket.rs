//! On Rocket.

use ::rocket::{
    Config, State, fairing::AdHoc, get, http::Status, post, response::stream::ByteStream, routes,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sse_benches::{Encoded, live};
use sse_core::Event;
use sse_rocket::{Error, Hub, Sse, SseRequest, with_hub};

use super::{App, NEWS};

#[get("/events")]
fn events(request: SseRequest, hub: &State<Hub>) -> Result<Sse, Error> {
    Ok(Sse(hub.open(&request, request.any_topics(NEWS)?)?))
}

#[get("/own")]
fn own(request: SseRequest, app: &State<App>) -> Result<Sse<impl Stream<Item = Event> + use<>>, Error> {
    Ok(Sse(app.own(&request)?))
}

#[post("/publish", data = "<body>")]
async fn publish(request: SseRequest, hub: &State<Hub>, body: &str) -> Result<Status, Error> {
    hub.publish(request.any_topics(NEWS)?, body).await?;
    Ok(Status::Accepted)
}

#[get("/bare")]
fn bare(app: &State<App>) -> ByteStream<impl Stream<Item = Bytes> + use<>> {
    ByteStream(live(&app.bare).map(|Encoded(bytes)| bytes))
}

#[post("/bare", data = "<body>")]
fn publish_bare(app: &State<App>, body: &str) -> Status {
    app.bare.publish(body);
    Status::Accepted
}

#[get("/readyz")]
fn ready(app: &State<App>) -> Status {
    if app.is_ready() { Status::Ok } else { Status::ServiceUnavailable }
}

pub(super) fn serve(app: App) {
    let addr = app.addr();
    let config = Config::figment()
        .merge(("address", addr.ip()))
        .merge(("port", 0))
        .merge(("log_level", "off"))
        .merge(("shutdown.grace", 1))
        .merge(("shutdown.mercy", 1));
    let served = app.clone();
    let liftoff = AdHoc::on_liftoff("address", move |rocket| {
        app.listens((rocket.config().address, rocket.config().port).into());
        Box::pin(async {})
    });
    let server = ::rocket::custom(config)
        .attach(with_hub(&served.hub).listen(served.listen.clone()))
        .attach(liftoff)
        .manage(served)
        .mount("/", routes![events, own, publish, bare, publish_bare, ready]);
    ::rocket::execute(server.launch()).expect("a server");
}
