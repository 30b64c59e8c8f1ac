//! The application on Rocket.

use std::{net::SocketAddr, sync::Mutex};

use futures_util::Stream;
use model::{Question, anthropic, openai};
use rocket::{
    Request, Responder, State, catch, catchers,
    config::TlsConfig,
    fairing::AdHoc,
    get,
    http::{Cookie, Header, Status},
    post,
    request::{FromRequest, Outcome},
    response::{Redirect, content::RawHtml},
    routes,
    serde::json::Json,
};
use sse_core::Event;
use sse_rocket::{Authorized, Error, EventStream, Hub, Source, Sse, SseRequest, TrustedOrigin};
use tokio::sync::oneshot;

use super::{
    App, OwnStream, User,
    user::{OWN, Unknown},
};

#[get("/events")]
fn events(request: SseRequest, hub: &State<Hub>) -> Result<Sse, Error> {
    Ok(Sse(hub.open(&request, request.any_topics("news")?)?))
}

#[get("/own/<name>")]
fn own(
    request: SseRequest,
    app: &State<App>,
    name: &str,
) -> Result<Sse<impl Stream<Item = Result<Event, String>> + use<>>, Error> {
    Ok(Sse(EventStream::open_with(&request, (app.own)(name), app.options.clone())?))
}

#[get("/with/<name>")]
fn with(request: SseRequest, app: &State<App>, name: &str) -> Result<Sse, Error> {
    Ok(Sse(app.with(&request, name)?))
}

#[get("/for/<name>")]
fn filtered(request: SseRequest, app: &State<App>, name: String) -> Result<Sse<impl Source + use<>>, Error> {
    Ok(Sse(app.filtered(&request, name)?))
}

#[post("/posted", data = "<topics>")]
fn posted(request: SseRequest, hub: &State<Hub>, topics: Json<Vec<String>>) -> Result<Sse, Error> {
    request.subscribe(hub, topics.into_inner())
}

#[post("/v1/chat/completions", data = "<question>")]
fn completions(request: SseRequest, question: Json<Question>) -> Result<Sse<impl Source + use<>>, Error> {
    request.stream_with(openai::completion(&question), openai::options())
}

#[post("/v1/messages", data = "<question>")]
fn messages(request: SseRequest, question: Json<Question>) -> Result<Sse<impl Source + use<>>, Error> {
    request.stream_with(anthropic::message(&question), anthropic::options())
}

#[get("/once")]
fn once(request: SseRequest, app: &State<App>) -> Result<Sse<OwnStream>, Error> {
    Ok(Sse(app.once(&request)?))
}

#[get("/private")]
fn private(client: Authorized, hub: &State<Hub>) -> Result<Sse, Error> {
    Ok(Sse(hub.open(&client, client.request().any_topics("news")?)?))
}

#[post("/ticket")]
async fn ticket(client: Authorized, app: &State<App>) -> Result<String, Error> {
    Ok(app.auth.issue_ticket(&client, client.granted_topics()?).await?.as_str().to_owned())
}

#[get("/whoami")]
fn whoami(client: Authorized) -> String {
    client.subject().to_owned()
}

#[post("/whoami")]
fn change(client: Authorized) -> String {
    client.subject().to_owned()
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for User {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let app = request.rocket().state::<App>().expect("it is there");
        let cookie = request.cookies().get("session");
        match Self::look(cookie.map(Cookie::value), app) {
            Ok(user) => Outcome::Success(user),
            Err(Unknown::Guest) => Outcome::Forward(Status::Unauthorized),
            Err(Unknown::Never) => std::future::pending().await,
            Err(Unknown::Nobody) => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

#[get("/session")]
fn session(client: Authorized<User>, hub: &State<Hub>) -> Result<Sse, Error> {
    client.subscribe(hub, client.granted_topics()?)
}

#[get("/session", rank = 2)]
fn session_of_guests() -> Redirect {
    Redirect::to("/login")
}

#[get("/session/user")]
fn session_user(client: Authorized<User>) -> String {
    format!("{} {}", client.user().name, client.user().id)
}

#[post("/session/out")]
async fn session_out(client: Authorized<User>, app: &State<App>) -> Result<String, Error> {
    Ok(app.auth.revocations().revoke(&client).await?.to_string())
}

#[derive(Responder)]
struct Own(&'static str, Header<'static>);

#[catch(401)]
fn unknown() -> Own {
    Own(OWN, Header::new("x-app", "own"))
}

#[post("/login")]
fn login(_page: TrustedOrigin) -> &'static str {
    "welcome"
}

#[get("/blank")]
fn blank() -> RawHtml<&'static str> {
    RawHtml("<!doctype html>")
}

pub(super) async fn serve(app: App) -> (SocketAddr, oneshot::Receiver<()>) {
    let (addr_sender, addr) = oneshot::channel();
    let (ended_sender, ended) = oneshot::channel();
    let addr_sender = Mutex::new(Some(addr_sender));
    let mut config = rocket::Config::figment()
        .merge(("address", app.address))
        .merge(("port", app.port))
        .merge(("log_level", "off"))
        .merge(("shutdown.grace", 1))
        .merge(("shutdown.mercy", 1));
    if let Some(tls) = &app.tls {
        config = config.merge(("tls", TlsConfig::from_bytes(tls.certificate.as_bytes(), tls.key.as_bytes())));
    }
    let streams = routes![events, own, with, filtered, posted, completions, messages, once];
    let rocket = rocket::custom(config)
        .attach(sse_rocket::with_hub(&app.hub).listen(app.listen.clone()))
        .attach(sse_rocket::with_auth(&app.auth))
        .attach(AdHoc::on_liftoff("address", move |rocket| {
            let addr = SocketAddr::new(rocket.config().address, rocket.config().port);
            let sender = addr_sender.lock().expect("not poisoned").take();
            sender.expect("one liftoff").send(addr).expect("the test waits");
            Box::pin(async {})
        }))
        .manage(app)
        .register("/session", catchers![unknown])
        .mount("/", streams)
        .mount("/", routes![private, ticket, whoami, change, login, blank])
        .mount("/", routes![session, session_of_guests, session_user, session_out]);
    tokio::spawn(async move {
        rocket.launch().await.expect("the server ends cleanly");
        ended_sender.send(()).ok();
    });
    (addr.await.expect("the server starts"), ended)
}
