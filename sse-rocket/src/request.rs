//! [`SseRequest`]: the request guard.

use std::{borrow::Cow, convert::Infallible, net::SocketAddr};

use rocket::{
    Ignite, Rocket, Sentinel,
    http::{Method, Status},
    request::{FromRequest, Outcome},
};
use sse_core::{Lifecycle, Request, RequestHead};

use crate::Extracted;

/// Guards what opening a stream takes: the client's position, its query, its address.
///
/// Rocket refuses to launch where a handler asks for it and neither [`with_hub`](crate::with_hub) nor
/// [`with_lifecycle`](crate::with_lifecycle) is attached.
pub type SseRequest = Extracted<Request>;

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
        let attached = rocket.state::<Lifecycle>();
        is_missing(attached, "SseRequest needs `rocket.attach(sse_rocket::with_hub(..))` or `with_lifecycle`")
    }
}

/// Whether what a guard needs is not attached; then the log says how to.
pub(crate) fn is_missing<T>(attached: Option<T>, needs: &str) -> bool {
    if attached.is_none() {
        tracing::error!("{needs}");
    }
    attached.is_none()
}

/// A request as it came, where it no longer is: Rocket turns HEAD into GET where no route is for HEAD, and the
/// fairing of authorisation takes secrets out of the query.
#[derive(Default)]
pub(crate) struct Original {
    pub(crate) method: Option<Method>,
    pub(crate) query: Option<String>,
}

pub(crate) struct Head<'a, 'r>(pub(crate) &'a rocket::Request<'r>);

impl Head<'_, '_> {
    fn original(&self) -> &Original {
        self.0.local_cache(Original::default)
    }
}

impl RequestHead for Head<'_, '_> {
    fn method(&self) -> &str {
        self.original().method.unwrap_or_else(|| self.0.method()).as_str()
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.headers().get(name).map(str::as_bytes)
    }

    fn host(&self) -> Option<Cow<'_, str>> {
        self.0.host().map(|host| host.to_string().into())
    }

    fn path(&self) -> &str {
        self.0.uri().path().raw().as_str()
    }

    fn query(&self) -> Option<&str> {
        let present = || self.0.uri().query().map(|query| query.as_str());
        self.original().query.as_deref().or_else(present)
    }

    // Not `client_ip`, which believes a header.
    fn peer(&self) -> Option<SocketAddr> {
        self.0.remote()
    }
}
