//! [`SseRequest`]: the extractor, and what it needs of the application.

use std::{
    borrow::Cow,
    future::{Ready, ready},
    net::SocketAddr,
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::HeaderValue,
    web::{Data, ServiceConfig},
};
use sse_core::{Hub, Lifecycle, Refusal, Request, RequestHead};

use crate::{Error, Extracted};

/// Makes a [`Hub`] available to handlers as `web::Data<Hub>`, and [`SseRequest`] with it.
///
/// For [`App::configure`](actix_web::App::configure). Streams end when the hub's lifecycle says so.
pub fn with_hub(hub: &Hub) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let hub = hub.clone();
    move |config| {
        config.configure(with_lifecycle(hub.lifecycle()));
        config.app_data(Data::new(hub));
    }
}

/// Makes [`SseRequest`] available to handlers, for applications without a hub.
pub fn with_lifecycle(lifecycle: &Lifecycle) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let lifecycle = lifecycle.clone();
    move |config| {
        config.app_data(lifecycle);
    }
}

/// Extracts what opening a stream takes: the client's position, its query, its address.
///
/// Refuses with 500, and says so in the log, where neither [`with_hub`] nor [`with_lifecycle`] was configured.
pub type SseRequest = Extracted<Request>;

impl FromRequest for SseRequest {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(lifecycle(request).map(|lifecycle| Self(Request::new(&Head(request), lifecycle))))
    }
}

/// The lifecycle that the application was configured with.
pub(crate) fn lifecycle(request: &HttpRequest) -> Result<&Lifecycle, Error> {
    request.app_data::<Lifecycle>().ok_or_else(|| {
        tracing::error!("event streams need `App::configure(sse_actix::with_hub(..))` or `with_lifecycle`");
        not_configured()
    })
}

pub(crate) fn not_configured() -> Error {
    Refusal::internal_error("The server is not configured for event streams.").into()
}

pub(crate) struct Head<'a>(pub(crate) &'a HttpRequest);

impl RequestHead for Head<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.headers().get_all(name).map(HeaderValue::as_bytes)
    }

    fn host(&self) -> Option<Cow<'_, str>> {
        // An absolute target counts for more than the header (RFC 9112 §3.2.2); HTTP/2 has nothing else.
        let target = self.0.uri().authority().map(|authority| authority.as_str().into());
        target.or_else(|| self.header("host").map(String::from_utf8_lossy))
    }

    fn path(&self) -> &str {
        self.0.uri().path()
    }

    fn query(&self) -> Option<&str> {
        Some(self.0.query_string())
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.0.peer_addr()
    }
}
