//! [`Authorized`]: the guard of requests with a good token, and the fairing that renders its refusals.

use std::ops::Deref;

use rocket::{
    Build, Ignite, Request, Response, Rocket, Sentinel,
    fairing::{self, Fairing, Info, Kind},
    http::{Method, Status},
    request::{FromRequest, Outcome},
    response::Responder,
};
use sse_core::{Auth, Lifecycle};

use crate::{Error, request::Head};

/// A fairing that makes [`Authorized`] available to handlers, beside [`with_hub`](crate::with_hub) or
/// [`with_lifecycle`](crate::with_lifecycle).
///
/// It renders the guard's refusals, which a catcher would do without their header fields, and answers the
/// preflights (`OPTIONS`) that no route of yours does.
pub fn with_auth(auth: &Auth) -> AuthFairing {
    AuthFairing(auth.clone())
}

/// What [`with_auth`] attaches.
#[derive(Clone, Debug)]
pub struct AuthFairing(Auth);

/// A refusal of the guard, kept for the fairing.
struct Refused(Option<Error>);

#[rocket::async_trait]
impl Fairing for AuthFairing {
    fn info(&self) -> Info {
        Info {
            name: "Server-Sent Events: authorisation",
            kind: Kind::Ignite | Kind::Response | Kind::Singleton,
        }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        Ok(rocket.manage(self.0.clone()))
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let is_preflight = request.method() == Method::Options
            && response.status() == Status::NotFound
            && request.headers().contains("access-control-request-method");
        let answer = if is_preflight {
            Some(Error::from(self.0.preflight(&Head(request))))
        } else {
            let refused = request.local_cache(|| Refused(None));
            refused.0.clone().filter(|error| error.status() == response.status())
        };
        if let Some(Ok(answer)) = answer.map(|answer| answer.respond_to(request)) {
            *response = answer;
        }
    }
}

/// Guards a request with a good token.
///
/// It is a [`Request`](sse_core::Request) for [`Hub::open`](sse_core::Hub::open), and in any other handler the
/// proof of who asks. Rocket refuses to launch where a handler asks for it and [`with_auth`], or the fairing of
/// the hub, is not attached.
#[derive(Clone, Debug)]
pub struct Authorized(sse_core::Authorized);

impl Deref for Authorized {
    type Target = sse_core::Authorized;

    fn deref(&self) -> &sse_core::Authorized {
        &self.0
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Authorized {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let rocket = request.rocket();
        let (Some(auth), Some(lifecycle)) = (rocket.state::<Auth>(), rocket.state::<Lifecycle>()) else {
            return Outcome::Forward(Status::InternalServerError);
        };
        match auth.authorize(&Head(request), lifecycle).await {
            Ok(authorized) => Outcome::Success(Self(authorized)),
            Err(refusal) => {
                let error = Error::from(refusal);
                request.local_cache(|| Refused(Some(error.clone())));
                Outcome::Error((error.status(), error))
            }
        }
    }
}

impl Sentinel for Authorized {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let missing = rocket.state::<Auth>().is_none() || rocket.state::<Lifecycle>().is_none();
        if missing {
            tracing::error!("Authorized needs `rocket.attach(sse_rocket::with_auth(..))`, and `with_hub`");
        }
        missing
    }
}
