//! On actix-web.

use std::convert::Infallible;

use actix_web::{App as ActixApp, HttpResponse, HttpServer, web};
use futures_util::StreamExt as _;
use sse_actix::{Error, Hub, Sse, SseRequest, with_hub};
use sse_benches::{Encoded, live};

use super::{App, NEWS};

pub(super) fn serve(app: App) {
    async fn events(request: SseRequest, hub: web::Data<Hub>) -> Result<Sse, Error> {
        Ok(Sse(hub.open(&request, request.any_topics(NEWS)?)?))
    }
    async fn own(request: SseRequest, app: web::Data<App>) -> Result<impl actix_web::Responder, Error> {
        Ok(Sse(app.own(&request)?))
    }
    async fn publish(request: SseRequest, hub: web::Data<Hub>, body: String) -> Result<HttpResponse, Error> {
        hub.publish(request.any_topics(NEWS)?, body).await?;
        Ok(HttpResponse::Accepted().finish())
    }
    async fn bare(app: web::Data<App>) -> HttpResponse {
        let events = live(&app.bare).map(|Encoded(bytes)| Ok::<_, Infallible>(bytes));
        HttpResponse::Ok().content_type("text/event-stream").streaming(events)
    }
    async fn publish_bare(app: web::Data<App>, body: String) -> HttpResponse {
        app.bare.publish(&body);
        HttpResponse::Accepted().finish()
    }
    async fn ready(app: web::Data<App>) -> HttpResponse {
        if app.is_ready() { HttpResponse::Ok().finish() } else { HttpResponse::ServiceUnavailable().finish() }
    }

    actix_web::rt::System::new().block_on(async move {
        let stop = app.hub.lifecycle().stop_on_signal();
        let served = app.clone();
        let routes = move || {
            ActixApp::new()
                .configure(with_hub(&served.hub))
                .app_data(web::Data::new(served.clone()))
                .route("/events", web::get().to(events))
                .route("/own", web::get().to(own))
                .route("/publish", web::post().to(publish))
                .route("/bare", web::get().to(bare))
                .route("/bare", web::post().to(publish_bare))
                .route("/readyz", web::get().to(ready))
        };
        let server = HttpServer::new(routes)
            .h1_allow_half_closed(false)
            .shutdown_signal(stop)
            .shutdown_timeout(3)
            .listen_auto_h2c(app.listen.bind(app.addr()).expect("a free port"))
            .expect("a listener");
        app.listens(server.addrs()[0]);
        server.run().await.expect("a server");
    });
}
