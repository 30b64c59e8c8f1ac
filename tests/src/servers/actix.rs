//! The application on actix-web.

use std::{
    future::{Future, pending, ready},
    net::SocketAddr,
    pin::Pin,
};

use actix_web::{
    App as ActixApp, FromRequest, HttpRequest, HttpResponse, HttpServer, Responder,
    dev::{Payload, Service as _},
    error::InternalError,
    http::{Method, header::CONTENT_ENCODING},
    middleware::Compress,
    web,
};
use model::{Question, anthropic, openai};
use sse_actix::{Authorized, Error, EventStream, Hub, Sse, SseRequest, TrustedOrigin};
use tokio::sync::oneshot;

use super::{
    App, User,
    user::{OWN, Unknown},
};

async fn events(request: SseRequest, hub: web::Data<Hub>) -> Result<impl Responder, Error> {
    Ok(Sse(hub.open(&request, request.any_topics("news")?)?))
}

async fn own(
    request: SseRequest,
    app: web::Data<App>,
    name: web::Path<String>,
) -> Result<impl Responder, Error> {
    Ok(Sse(EventStream::open_with(&request, (app.own)(&name), app.options.clone())?))
}

async fn with(
    request: SseRequest,
    app: web::Data<App>,
    name: web::Path<String>,
) -> Result<impl Responder, Error> {
    Ok(Sse(app.with(&request, &name)?))
}

async fn filtered(
    request: SseRequest,
    app: web::Data<App>,
    name: web::Path<String>,
) -> Result<impl Responder, Error> {
    Ok(Sse(app.filtered(&request, name.into_inner())?))
}

async fn posted(
    request: SseRequest,
    hub: web::Data<Hub>,
    topics: web::Json<Vec<String>>,
) -> Result<impl Responder, Error> {
    request.subscribe(&hub, topics.into_inner())
}

async fn completions(request: SseRequest, question: web::Json<Question>) -> Result<impl Responder, Error> {
    request.stream_with(openai::completion(&question), openai::options())
}

async fn messages(request: SseRequest, question: web::Json<Question>) -> Result<impl Responder, Error> {
    request.stream_with(anthropic::message(&question), anthropic::options())
}

async fn once(request: SseRequest, app: web::Data<App>) -> Result<impl Responder, Error> {
    Ok(Sse(app.once(&request)?))
}

async fn private(client: Authorized, hub: web::Data<Hub>) -> Result<impl Responder, Error> {
    Ok(Sse(hub.open(&client, client.request().any_topics("news")?)?))
}

async fn ticket(client: Authorized, app: web::Data<App>) -> Result<impl Responder, Error> {
    Ok(app.auth.issue_ticket(&client, client.granted_topics()?).await?.as_str().to_owned())
}

async fn whoami(client: Authorized) -> String {
    client.subject().to_owned()
}

impl FromRequest for User {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, actix_web::Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = request.app_data::<web::Data<App>>().expect("it is there");
        let cookies = request.headers().get("cookie").and_then(|cookies| cookies.to_str().ok());
        let user = Self::look(cookies.and_then(|cookies| cookies.strip_prefix("session=")), app);
        if let Err(Unknown::Never) = user {
            return Box::pin(pending());
        }
        Box::pin(ready(user.map_err(|unknown| {
            let answer = match unknown {
                Unknown::Guest => HttpResponse::SeeOther().insert_header(("location", "/login")).finish(),
                _ => HttpResponse::Unauthorized().insert_header(("x-app", "own")).body(OWN),
            };
            InternalError::from_response("", answer).into()
        })))
    }
}

async fn session(client: Authorized<User>, hub: web::Data<Hub>) -> Result<Sse, Error> {
    client.subscribe(&hub, client.granted_topics()?)
}

async fn session_user(client: Authorized<User>) -> String {
    format!("{} {}", client.user().name, client.user().id)
}

async fn session_out(client: Authorized<User>, app: web::Data<App>) -> Result<impl Responder, Error> {
    Ok(app.auth.revocations().revoke(&client).await?.to_string())
}

async fn login(_: TrustedOrigin) -> &'static str {
    "welcome"
}

pub(super) async fn serve(app: App) -> (SocketAddr, oneshot::Receiver<()>) {
    let (addr_sender, addr) = oneshot::channel();
    let (ended_sender, ended) = oneshot::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let stopped = app.hub.lifecycle().stopped();
            let listener = app.listen.bind((app.address, app.port)).expect("a free port");
            let tls = app.tls.clone();
            let server = HttpServer::new(move || {
                ActixApp::new()
                    .configure(sse_actix::with_hub(&app.hub))
                    .configure(sse_actix::with_auth(&app.auth))
                    .app_data(web::Data::new(app.clone()))
                    .service(
                        web::resource("/events").route(web::get().to(events)).route(web::head().to(events)),
                    )
                    .route("/own/{name}", web::get().to(own))
                    .route("/with/{name}", web::get().to(with))
                    .route("/for/{name}", web::get().to(filtered))
                    .route("/posted", web::post().to(posted))
                    .route("/v1/chat/completions", web::post().to(completions))
                    .route("/v1/messages", web::post().to(messages))
                    .route("/once", web::get().to(once))
                    .service(
                        web::resource("/private")
                            .route(web::get().to(private))
                            .route(web::head().to(private))
                            .route(web::method(Method::OPTIONS).to(sse_actix::preflight)),
                    )
                    .service(
                        web::resource("/session")
                            .route(web::get().to(session))
                            .route(web::head().to(session)),
                    )
                    .route("/session/user", web::get().to(session_user))
                    .route("/session/out", web::post().to(session_out))
                    .route("/ticket", web::post().to(ticket))
                    .route("/whoami", web::to(whoami))
                    .route("/login", web::post().to(login))
                    .route("/blank", web::get().to(|| async { web::Html::new("<!doctype html>") }))
                    .service(
                        web::scope("/compressed")
                            .wrap(Compress::default())
                            .route("/events", web::get().to(events)),
                    )
                    // What `Compress` would do if streams did not keep it away.
                    .service(
                        web::scope("/encoded")
                            .wrap_fn(|request, service| {
                                let response = service.call(request);
                                async move {
                                    let mut response = response.await?;
                                    response.headers_mut().remove(CONTENT_ENCODING);
                                    Ok(response)
                                }
                            })
                            .wrap(Compress::default())
                            .route("/events", web::get().to(events)),
                    )
                    .default_service(web::to(HttpResponse::NotFound))
            })
            .workers(2)
            .h1_allow_half_closed(false)
            .shutdown_signal(stopped)
            .shutdown_timeout(1);
            let server = match tls {
                // It names the protocols by itself.
                Some(tls) => server.listen_rustls_0_23(listener, tls.server(&[])),
                None => server.listen_auto_h2c(listener),
            };
            let server = server.expect("a listener");
            addr_sender.send(server.addrs()[0]).expect("the test waits");
            server.run().await.expect("the server ends cleanly");
        });
        ended_sender.send(()).ok();
    });
    (addr.await.expect("the server starts"), ended)
}
