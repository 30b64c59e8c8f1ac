//! [`Authorized`]: the guard of requests with a good token, and the fairing that renders its refusals.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rocket::{
    Build, Data, Ignite, Request, Response, Rocket, Sentinel,
    config::LogLevel,
    fairing::{self, Fairing, Info, Kind},
    http::{Method, Status, uri::Origin},
    request::{FromRequest, Outcome},
};
use sse_core::{Auth, Auths, Identity, Lifecycle, Refusal};

use crate::{
    Error, Extracted,
    request::{Head, Original, is_missing},
};

/// A fairing that makes [`Authorized`] available to handlers, beside [`with_hub`](crate::with_hub) or
/// [`with_lifecycle`](crate::with_lifecycle).
///
/// - It gives the guard's refusals their header fields, and their sentence where the application has no catcher of
///   its own for the status. It answers the preflights (`OPTIONS`) that no route of yours does.
/// - **It takes tickets and tokens out of the query** before Rocket routes or logs the request: there stands
///   `ticket=-`, for handlers and for the fairings that are attached later. And it turns Rocket's log level `debug`,
///   which prints whole requests, down to `normal`. A request that Rocket cannot read (a method it does not know, a
///   URI that is none) it prints as it came, at every level but `off`: no fairing ever sees it.
pub fn with_auth(auth: &Auth) -> AuthFairing {
    with_auth_at("/", auth)
}

/// [`with_auth`] for the paths below one alone, as `/admin`, in an application that has several: of those that are
/// attached, the one with the longest path counts. One that is attached for a path again takes the other's place.
pub fn with_auth_at(base: impl Into<String>, auth: &Auth) -> AuthFairing {
    AuthFairing { base: base.into(), auth: auth.clone() }
}

/// What [`with_auth`] and [`with_auth_at`] attach.
#[derive(Clone, Debug)]
pub struct AuthFairing {
    base: String,
    auth: Auth,
}

/// The one that counts for a request.
fn auth(request: &Request<'_>) -> Option<Auth> {
    request.rocket().state::<Auths>()?.get(request.uri().path().segments())
}

/// A refusal of a guard, until a fairing has put it into the response.
#[derive(Default)]
struct Refused(Mutex<Option<Error>>);

impl Refused {
    fn by<'r>(request: &'r Request<'_>) -> MutexGuard<'r, Option<Error>> {
        request.local_cache(Self::default).0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[rocket::async_trait]
impl Fairing for AuthFairing {
    fn info(&self) -> Info {
        Info {
            name: "Server-Sent Events: authorisation",
            kind: Kind::Ignite | Kind::Request | Kind::Response,
        }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let Ok(base) = Origin::parse_owned(self.base.clone()) else {
            tracing::error!(base = self.base, "the path that authorisation is attached for is not one");
            return Err(rocket);
        };
        let rocket = match rocket.state::<Auths>() {
            Some(_) => rocket,
            // The first is there for handlers too, by its type.
            None => rocket.manage(Auths::new()).manage(self.auth.clone()),
        };
        if let Some(auths) = rocket.state::<Auths>() {
            auths.insert(base.path().segments(), self.auth.clone());
        }
        // Rocket prints the request, header fields and all, before any fairing sees it.
        if rocket.figment().extract_inner::<LogLevel>("log_level").is_ok_and(|level| level == LogLevel::Debug)
        {
            tracing::warn!("Rocket's log level `debug` prints tokens, `normal` is taken in its place");
            let figment = rocket.figment().clone().merge(("log_level", "normal"));
            return Ok(rocket.configure(figment));
        }
        Ok(rocket)
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        let query = request.uri().query().map(|query| query.as_str().to_owned());
        let redacted = query.as_deref().and_then(Auth::redact_query);
        if let Some(redacted) = &redacted {
            let path = request.uri().path().raw().as_str().to_owned();
            let uri =
                Origin::parse_owned(format!("{path}?{redacted}")).or_else(|_| Origin::parse_owned(path));
            request.set_uri(uri.unwrap_or(Origin::ROOT));
        }
        let method = Some(request.method());
        request.local_cache(|| Original { method, query: query.filter(|_| redacted.is_some()) });
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let is_preflight = request.method() == Method::Options
            && response.status() == Status::NotFound
            && request.headers().contains("access-control-request-method");
        if let Some(auth) = auth(request).filter(|_| is_preflight) {
            response.remove_header("content-type");
            Error::from(auth.preflight(&Head(request))).put(response, false);
        } else if let Some(error) = Refused::by(request).take_if(|error| error.status() == response.status())
        {
            error.put(response, is_caught(request, response.status()));
        }
    }
}

/// Whether the application has a catcher for this status here, as Rocket's router decides it.
fn is_caught(request: &Request<'_>, status: Status) -> bool {
    let is_under = |base: &Origin<'_>| base.path().segments().prefix_of(request.uri().path().segments());
    let mut catchers = request.rocket().catchers();
    catchers.any(|catcher| catcher.code.is_none_or(|code| code == status.code) && is_under(&catcher.base))
}

/// Lets a request pass that comes from a page of this origin, of a listed one, or from no page at all; for the
/// handler that signs in: see [`Auth::check_origin`]. Refuses others with 403.
#[derive(Clone, Copy, Debug)]
pub struct TrustedOrigin(());

#[rocket::async_trait]
impl<'r> FromRequest<'r> for TrustedOrigin {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let Some(auth) = auth(request) else {
            return Outcome::Forward(Status::InternalServerError);
        };
        outcome(request, auth.check_origin(&Head(request)).map(|()| Self(())))
    }
}

impl Sentinel for TrustedOrigin {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        is_missing(rocket.state::<Auths>(), "TrustedOrigin needs `rocket.attach(sse_rocket::with_auth(..))`")
    }
}

/// Of a refusal the status for the catcher, and the rest for the fairing.
fn outcome<T>(request: &Request<'_>, result: Result<T, Refusal>) -> Outcome<T, Error> {
    match result {
        Ok(guard) => Outcome::Success(guard),
        Err(refusal) => {
            let error = Error::from(refusal);
            *Refused::by(request) = Some(error.clone());
            Outcome::Error((error.status(), error))
        }
    }
}

/// As whom [`Authorized`] knows the one who asks where nothing else is said: by the token alone.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ByToken;

/// Guards a request with a good token.
///
/// It opens streams as [`SseRequest`](crate::SseRequest) does, of topics that are granted, and is in any other handler
/// the proof of who asks: see [`Extracted`] and [`sse_core::Authorized`]. Rocket refuses to launch where a handler asks
/// for it and [`with_auth`], or the fairing of the hub, is not attached.
///
/// `Authorized<U>` is for applications that sign people in by themselves: `U` is their own guard of the one who is
/// signed in, and turns into an [`Identity`] (`impl TryFrom<&U> for Identity`). It is asked only once no other site's
/// page has caused the request; it fails and forwards as it does by itself. `client.user()` is the `U`.
pub type Authorized<U = ByToken> = Extracted<sse_core::Authorized<U>>;

#[cfg(feature = "jwt")]
#[rocket::async_trait]
impl<'r> FromRequest<'r> for Authorized {
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let (Some(auth), Some(lifecycle)) = (auth(request), request.rocket().state::<Lifecycle>()) else {
            return Outcome::Forward(Status::InternalServerError);
        };
        let authorized = auth.authorize(&Head(request), lifecycle).await;
        outcome(request, authorized.map(|authorized| Self(authorized.with_user(ByToken))))
    }
}

#[rocket::async_trait]
impl<'r, U> FromRequest<'r> for Authorized<U>
where
    U: FromRequest<'r> + Send,
    for<'a> &'a U: TryInto<Identity, Error: fmt::Display>,
{
    type Error = Error;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Error> {
        let (Some(auth), Some(lifecycle)) = (auth(request), request.rocket().state::<Lifecycle>()) else {
            return Outcome::Forward(Status::InternalServerError);
        };
        if let Err(refusal) = auth.screen(&Head(request)) {
            return outcome(request, Err(refusal));
        }
        let user = match U::from_request(request).await {
            Outcome::Success(user) => user,
            Outcome::Forward(status) => return Outcome::Forward(status),
            // The application's catcher knows what to say of it.
            Outcome::Error((status, _)) => {
                let denied = Refusal::new(status.code, "The request was not let in.");
                return Outcome::Error((status, denied.map_or_else(Error::from, Error::from)));
            }
        };
        outcome(request, auth.admit(&Head(request), lifecycle, user).map(Self))
    }
}

impl<U> Sentinel for Authorized<U> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let attached = rocket.state::<Auths>().zip(rocket.state::<Lifecycle>());
        is_missing(attached, "Authorized needs `rocket.attach(sse_rocket::with_auth(..))`, and `with_hub`")
    }
}
