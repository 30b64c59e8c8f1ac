//! [`SseRequest`]: the request guard.

use std::{borrow::Cow, convert::Infallible, net::SocketAddr, ops::Deref};

use rocket::{
    Ignite, Rocket, Sentinel,
    http::Status,
    request::{FromRequest, Outcome},
};
use sse_core::{Lifecycle, Request, RequestHead};

/// Guards what opening a stream takes: the client's position, its query, its address.
///
/// Rocket refuses to launch where a handler asks for it and neither [`with_hub`](crate::with_hub) nor
/// [`with_lifecycle`](crate::with_lifecycle) is attached.
#[derive(Clone, Debug)]
pub struct SseRequest(Request);

impl Deref for SseRequest {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.0
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for SseRequest {
    type Error = Infallible;

    async fn from_request(request: &'r rocket::Request<'_>) -> Outcome<Self, Infallible> {
        match request.rocket().state::<Lifecycle>() {
            Some(lifecycle) => Outcome::Success(Self(Request::new(&Head(request), lifecycle))),
            None => Outcome::Forward(Status::InternalServerError),
        }
    }
}

impl Sentinel for SseRequest {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let missing = rocket.state::<Lifecycle>().is_none();
        if missing {
            tracing::error!("SseRequest needs `rocket.attach(sse_rocket::with_hub(..))` or `with_lifecycle`");
        }
        missing
    }
}

struct Head<'a, 'r>(&'a rocket::Request<'r>);

impl RequestHead for Head<'_, '_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.headers().get_one(name).map(str::as_bytes)
    }

    fn headers(&self, name: &str) -> Vec<&[u8]> {
        self.0.headers().get(name).map(str::as_bytes).collect()
    }

    fn host(&self) -> Option<Cow<'_, str>> {
        self.0.host().map(|host| host.to_string().into())
    }

    fn query(&self) -> Option<&str> {
        self.0.uri().query().map(|query| query.as_str())
    }

    // Not `client_ip`, which believes a header.
    fn peer(&self) -> Option<SocketAddr> {
        self.0.remote()
    }
}
