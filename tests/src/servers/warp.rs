//! The application on warp.

use std::{future::pending, net::SocketAddr, sync::Arc};

use model::{Question, anthropic, openai};
use sse_warp::{Auth, Authorized, Error, EventStream, Hub, Sse, SseRequest};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use warp::{
    Filter, Rejection, Reply, compression,
    filters::BoxedFilter,
    http::StatusCode,
    reject::{self, Reject},
    reply::Response,
};

use super::{
    App, User,
    user::{OWN, Unknown},
};
use crate::tls::{H2, HTTP_1_1};

fn events(request: SseRequest, hub: Hub) -> Result<Sse, Error> {
    Ok(Sse(hub.open(&request, request.any_topics("news")?)?))
}

fn own(name: String, request: SseRequest, app: App) -> Result<impl Reply, Error> {
    Ok(Sse(EventStream::open_with(&request, (app.own)(&name), app.options)?))
}

fn with(name: String, request: SseRequest, app: App) -> Result<impl Reply, Error> {
    Ok(Sse(app.with(&request, &name)?))
}

fn filtered(name: String, request: SseRequest, app: App) -> Result<impl Reply, Error> {
    Ok(Sse(app.filtered(&request, name)?))
}

fn posted(request: SseRequest, topics: Vec<String>, app: App) -> Result<impl Reply, Error> {
    request.subscribe(&app.hub, topics)
}

fn completions(request: SseRequest, question: Question) -> Result<impl Reply, Error> {
    request.stream_with(openai::completion(&question), openai::options())
}

fn messages(request: SseRequest, question: Question) -> Result<impl Reply, Error> {
    request.stream_with(anthropic::message(&question), anthropic::options())
}

fn once(request: SseRequest, app: App) -> Result<impl Reply, Error> {
    Ok(Sse(app.once(&request)?))
}

fn private(client: Authorized, hub: Hub) -> Result<Sse, Error> {
    Ok(Sse(hub.open(&client, client.request().any_topics("news")?)?))
}

async fn ticket(client: Authorized, auth: Auth) -> Result<impl Reply, Error> {
    Ok(auth.issue_ticket(&client, client.granted_topics()?).await?.as_str().to_owned())
}

/// A stream in each of warp's encodings.
fn encoded(stream: &BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    let gzip = warp::path("gzip").and(stream.clone().with(compression::gzip()));
    let deflate = warp::path("deflate").and(stream.clone().with(compression::deflate()));
    let brotli = warp::path("brotli").and(stream.clone().with(compression::brotli()));
    gzip.or(deflate).unify().or(brotli).unify().map(Reply::into_response).boxed()
}

fn whoami(client: Authorized) -> String {
    client.subject().to_owned()
}

impl Reject for Unknown {}

fn user(app: &App) -> impl Filter<Extract = (User,), Error = Rejection> + Clone + use<> {
    let app = app.clone();
    warp::cookie::optional("session").and_then(move |cookie: Option<String>| {
        let user = User::look(cookie.as_deref(), &app);
        async {
            match user {
                Err(Unknown::Never) => pending().await,
                user => user.map_err(reject::custom),
            }
        }
    })
}

async fn recover(rejection: Rejection) -> Result<Response, Rejection> {
    let answer = match rejection.find::<Unknown>() {
        Some(Unknown::Guest) => {
            warp::reply::with_header(StatusCode::SEE_OTHER, "location", "/login").into_response()
        }
        Some(Unknown::Nobody) => {
            let answer = warp::reply::with_status(OWN, StatusCode::UNAUTHORIZED);
            warp::reply::with_header(answer, "x-app", "own").into_response()
        }
        Some(Unknown::Never) | None => return Err(rejection),
    };
    Ok(answer)
}

fn session(client: Authorized<User>, hub: Hub) -> Result<Sse, Error> {
    client.subscribe(&hub, client.granted_topics()?)
}

fn session_user(client: Authorized<User>) -> String {
    format!("{} {}", client.user().name, client.user().id)
}

async fn session_out(client: Authorized<User>, auth: Auth) -> Result<impl Reply, Error> {
    Ok(auth.revocations().revoke(&client).await?.to_string())
}

pub(super) async fn serve(app: App) -> (SocketAddr, oneshot::Receiver<()>) {
    let (ended_sender, ended) = oneshot::channel();
    let lifecycle = app.hub.lifecycle().clone();
    let (address, listen, head_timeout) = ((app.address, app.port), app.listen.clone(), app.head_timeout);
    let tls = app.tls.clone();
    let request = sse_warp::request(&app.hub);
    let hub = sse_warp::with_hub(&app.hub);
    let auth = app.auth.clone();
    let client = sse_warp::authorized(&auth, &app.hub);
    let known = sse_warp::authorized_as(&auth, &app.hub, user(&app));
    let with_app = warp::any().map(move || app.clone());
    let read = warp::get().or(warp::head()).unify();
    let stream = warp::path!("events").and(read).and(request.clone()).and(hub.clone()).map(events);
    let stream = stream.map(Reply::into_response).boxed();
    // What `warp::compression` would do if streams did not keep encoders away.
    let bare = stream.clone().map(|mut response: Response| {
        response.headers_mut().remove("content-encoding");
        response
    });
    let named = warp::get().and(request.clone()).and(with_app.clone());
    let question = warp::post().and(request.clone()).and(warp::body::json());
    let posts = warp::path!("v1" / "chat" / "completions")
        .and(question.clone())
        .map(completions)
        .or(warp::path!("v1" / "messages").and(question).map(messages))
        .or(warp::path!("posted")
            .and(warp::post())
            .and(request.clone())
            .and(warp::body::json())
            .and(with_app.clone())
            .map(posted))
        .boxed();
    let routes = encoded(&stream)
        .or(warp::path("bare").and(encoded(&bare.boxed())))
        .or(stream)
        .or(posts)
        .or(warp::path!("own" / String).and(named.clone()).map(own))
        .or(warp::path!("with" / String).and(named.clone()).map(with))
        .or(warp::path!("for" / String).and(named).map(filtered))
        .or(warp::path!("once").and(warp::get()).and(request).and(with_app).map(once))
        .or(warp::path!("private").and(read).and(client.clone()).and(hub.clone()).map(private))
        .or(warp::path!("session").and(read).and(known.clone()).and(hub).map(session))
        .or(warp::path!("session" / "user").and(warp::get()).and(known.clone()).map(session_user))
        .or(warp::path!("session" / "out")
            .and(warp::post())
            .and(known)
            .and(sse_warp::with_auth(&auth))
            .then(session_out))
        .or(warp::path!("private").and(sse_warp::preflight(&auth)))
        .or(warp::path!("ticket")
            .and(warp::post())
            .and(client.clone())
            .and(sse_warp::with_auth(&auth))
            .then(ticket))
        .or(warp::path!("whoami").and(client).map(whoami))
        .or(warp::path!("login")
            .and(warp::post())
            .and(sse_warp::trusted_origin(&auth))
            .map(|| "welcome".to_owned()))
        .or(warp::path!("blank").map(|| warp::reply::html("<!doctype html>".to_owned())))
        .recover(sse_warp::recover)
        .recover(recover)
        .boxed();
    let listener = listen.bind(address).expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let mut server = sse_warp::serve(warp::service(routes), &lifecycle).http2();
    if let Some(timeout) = head_timeout {
        server = server.head_timeout(timeout);
    }
    tokio::spawn(async move {
        let ended = match tls {
            Some(tls) => {
                let acceptor = TlsAcceptor::from(Arc::new(tls.server(&[H2, HTTP_1_1])));
                server.run_with(listener, move |socket| acceptor.accept(socket)).await
            }
            None => server.run(listener).await,
        };
        ended.expect("the server ends cleanly");
        ended_sender.send(()).ok();
    });
    (addr, ended)
}
