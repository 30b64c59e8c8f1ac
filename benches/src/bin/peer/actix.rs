//! actix-web: a streaming body, with our head and opening or without, actix-web-lab's `sse`, and ours.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    App, HttpResponse, HttpResponseBuilder, HttpServer, Responder, Route,
    web::{self, Data, ServiceConfig},
};
use actix_web_lab::sse;
use futures_util::{Stream, StreamExt};
use sse_actix::{Error, Hub, STREAM_HEADERS, Sse, SseRequest, with_hub};
use sse_benches::{Channel, Encoded, Published, Text, channel, live, opened};

pub(crate) fn serve(
    port: u16,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async move {
        let app = move || App::new().configure(&routes);
        let server =
            HttpServer::new(app).h1_allow_half_closed(false).tcp_nodelay(true).bind(("127.0.0.1", port))?;
        server.run().await
    })
}

fn published<E: Published>(events: fn() -> Route) -> impl Fn(&mut ServiceConfig) + Clone + Send {
    async fn publish<E: Published>(channel: Data<Channel<E>>, body: String) -> HttpResponse {
        channel.publish(&body);
        HttpResponse::Accepted().finish()
    }
    let channel = channel::<E>();
    move |config| {
        config.app_data(Data::new(channel.clone()));
        config.route("/events", events()).route("/publish", web::post().to(publish::<E>));
    }
}

fn streaming(mut head: HttpResponseBuilder, events: impl Stream<Item = Encoded> + 'static) -> HttpResponse {
    head.streaming(events.map(|Encoded(bytes)| Ok::<_, Infallible>(bytes)))
}

pub(crate) fn floor() -> impl Fn(&mut ServiceConfig) + Clone + Send {
    async fn events(channel: Data<Channel<Encoded>>) -> HttpResponse {
        let mut head = HttpResponse::Ok();
        for field in STREAM_HEADERS {
            head.insert_header(field);
        }
        head.insert_header(("content-encoding", "identity"));
        streaming(head, opened(&channel))
    }
    published::<Encoded>(|| web::get().to(events))
}

pub(crate) fn bare() -> impl Fn(&mut ServiceConfig) + Clone + Send {
    async fn events(channel: Data<Channel<Encoded>>) -> HttpResponse {
        let mut head = HttpResponse::Ok();
        head.content_type("text/event-stream");
        streaming(head, live(&channel))
    }
    published::<Encoded>(|| web::get().to(events))
}

pub(crate) fn own() -> impl Fn(&mut ServiceConfig) + Clone + Send {
    async fn events(channel: Data<Channel<Text>>) -> impl Responder {
        let events = live(&channel).map(|event| sse::Event::Data(sse::Data::new(event.data).id(event.id)));
        sse::Sse::from_infallible_stream(events).with_keep_alive(Duration::from_secs(15))
    }
    published::<Text>(|| web::get().to(events))
}

pub(crate) fn ours(hub: Hub) -> impl Fn(&mut ServiceConfig) + Clone + Send {
    async fn events(request: SseRequest, hub: Data<Hub>) -> Result<impl Responder, Error> {
        Ok(Sse(hub.open(&request, "news")?))
    }
    async fn publish(hub: Data<Hub>, body: String) -> Result<HttpResponse, Error> {
        hub.publish("news", body).await?;
        Ok(HttpResponse::Accepted().finish())
    }
    move |config| {
        config.configure(with_hub(&hub));
        config.route("/events", web::get().to(events)).route("/publish", web::post().to(publish));
    }
}
