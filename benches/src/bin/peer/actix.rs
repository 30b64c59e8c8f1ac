//! actix-web: a streaming body, with our head and opening or without, actix-web-lab's `sse`, and ours.

use std::{convert::Infallible, time::Duration};

use actix_web::{App, HttpResponse, HttpResponseBuilder, HttpServer, Responder, Route, web};
use actix_web_lab::sse;
use futures_util::{Stream, StreamExt};
use sse_actix::{Error, Hub, STREAM_HEADERS, Sse, SseRequest, with_hub};
use sse_benches::{Channel, Encoded, Published, Text, channel, live, opened};

/// Every peer's routes are of one type, which makes one server of all: with a type for each, the compiler inlines
/// less, and an event costs more.
pub(crate) fn serve(port: u16, hub: Hub, routes: fn() -> (Route, Route)) -> std::io::Result<()> {
    let (encoded, text) = (channel::<Encoded>(), channel::<Text>());
    actix_web::rt::System::new().block_on(async move {
        let app = move || {
            let (get, post) = routes();
            App::new()
                .configure(with_hub(&hub))
                .app_data(web::Data::new(encoded.clone()))
                .app_data(web::Data::new(text.clone()))
                .route("/events", get)
                .route("/publish", post)
        };
        let server =
            HttpServer::new(app).h1_allow_half_closed(false).tcp_nodelay(true).bind(("127.0.0.1", port))?;
        server.run().await
    })
}

async fn publish<E: Published>(channel: web::Data<Channel<E>>, body: String) -> HttpResponse {
    channel.publish(&body);
    HttpResponse::Accepted().finish()
}

fn streaming(mut head: HttpResponseBuilder, events: impl Stream<Item = Encoded> + 'static) -> HttpResponse {
    head.streaming(events.map(|Encoded(bytes)| Ok::<_, Infallible>(bytes)))
}

pub(crate) fn floor() -> (Route, Route) {
    async fn events(channel: web::Data<Channel<Encoded>>) -> HttpResponse {
        let mut head = HttpResponse::Ok();
        for field in STREAM_HEADERS {
            head.insert_header(field);
        }
        head.insert_header(("content-encoding", "identity"));
        streaming(head, opened(&channel))
    }
    (web::get().to(events), web::post().to(publish::<Encoded>))
}

pub(crate) fn bare() -> (Route, Route) {
    async fn events(channel: web::Data<Channel<Encoded>>) -> HttpResponse {
        let mut head = HttpResponse::Ok();
        head.content_type("text/event-stream");
        streaming(head, live(&channel))
    }
    (web::get().to(events), web::post().to(publish::<Encoded>))
}

pub(crate) fn own() -> (Route, Route) {
    async fn events(channel: web::Data<Channel<Text>>) -> impl Responder {
        let events = live(&channel).map(|event| sse::Event::Data(sse::Data::new(event.data).id(event.id)));
        sse::Sse::from_infallible_stream(events).with_keep_alive(Duration::from_secs(15))
    }
    (web::get().to(events), web::post().to(publish::<Text>))
}

pub(crate) fn ours() -> (Route, Route) {
    async fn events(request: SseRequest, hub: web::Data<Hub>) -> Result<impl Responder, Error> {
        Ok(Sse(hub.open(&request, "news")?))
    }
    async fn publish(hub: web::Data<Hub>, body: String) -> Result<HttpResponse, Error> {
        hub.publish("news", body).await?;
        Ok(HttpResponse::Accepted().finish())
    }
    (web::get().to(events), web::post().to(publish))
}
