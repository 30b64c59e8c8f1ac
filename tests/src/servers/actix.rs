//! The application on actix-web.

use std::net::SocketAddr;

use actix_web::{
    App as ActixApp, HttpResponse, HttpServer, Responder,
    dev::Service as _,
    http::{Method, header::CONTENT_ENCODING},
    middleware::Compress,
    web,
};
use model::{Question, anthropic, openai};
use sse_actix::{Authorized, Error, EventStream, Hub, Sse, SseRequest, TrustedOrigin};
use tokio::sync::oneshot;

use super::App;

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

async fn completions(
    request: SseRequest,
    question: web::Json<Question>,
    hub: web::Data<Hub>,
) -> Result<impl Responder, Error> {
    request.stream_with(openai::completion(&question, hub.lifecycle()), openai::options())
}

async fn messages(
    request: SseRequest,
    question: web::Json<Question>,
    hub: web::Data<Hub>,
) -> Result<impl Responder, Error> {
    request.stream_with(anthropic::message(&question, hub.lifecycle()), anthropic::options())
}

async fn once(request: SseRequest, app: web::Data<App>) -> Result<impl Responder, Error> {
    Ok(Sse(app.once(&request)?))
}

async fn private(client: Authorized, hub: web::Data<Hub>) -> Result<impl Responder, Error> {
    Ok(Sse(hub.open(&client, client.request().any_topics("news")?)?))
}

async fn ticket(client: Authorized, app: web::Data<App>) -> Result<impl Responder, Error> {
    Ok(app.auth.issue_ticket(&client, client.granted_topics()?)?.as_str().to_owned())
}

async fn whoami(client: Authorized) -> String {
    client.subject().to_owned()
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
            .tcp_nodelay(true)
            .shutdown_signal(stopped)
            .shutdown_timeout(1)
            .bind_auto_h2c(("127.0.0.1", 0))
            .expect("a free port");
            addr_sender.send(server.addrs()[0]).expect("the test waits");
            server.run().await.expect("the server ends cleanly");
        });
        ended_sender.send(()).ok();
    });
    (addr.await.expect("the server starts"), ended)
}
