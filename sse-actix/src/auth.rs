//! [`Authorized`]: the extractor of a request with a good token.

use std::{
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::ServiceConfig};
use sse_core::{Auth, Identity};

use crate::{
    Error, Extracted,
    request::{Head, lifecycle, not_configured},
};

/// Makes [`Authorized`] available to handlers, beside [`with_hub`](crate::with_hub) or
/// [`with_lifecycle`](crate::with_lifecycle).
pub fn with_auth(auth: &Auth) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let auth = auth.clone();
    move |config| {
        config.app_data(auth);
    }
}

/// As whom [`Authorized`] knows the one who asks where nothing else is said: by the token alone.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ByToken;

/// Extracts a request with a good token, or answers with the refusal.
///
/// It opens streams as [`SseRequest`](crate::SseRequest) does, of topics that are granted, and is in any other handler
/// the proof of who asks: see [`Extracted`] and [`sse_core::Authorized`]. Refuses with 500, and says so in the log,
/// where [`with_auth`] was not configured.
///
/// `Authorized<U>` is for applications that sign people in by themselves: `U` is their own extractor of the one who is
/// signed in, and turns into an [`Identity`] (`impl TryFrom<&U> for Identity`). It is asked only once no other site's
/// page has caused the request; what it answers with is the answer. `client.user()` is the `U`.
pub type Authorized<U = ByToken> = Extracted<sse_core::Authorized<U>>;

#[cfg(feature = "jwt")]
impl FromRequest for Authorized {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let authorized =
            lifecycle(request).and_then(|lifecycle| Ok(auth(request)?.authorize(&Head(request), lifecycle)));
        Box::pin(async { Ok(Self(authorized?.await?.with_user(ByToken))) })
    }
}

impl<U> FromRequest for Authorized<U>
where
    U: FromRequest + 'static,
    for<'a> &'a U: TryInto<Identity, Error: fmt::Display>,
{
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, actix_web::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let screened = auth(request).and_then(|auth| Ok(auth.screen(&Head(request))?));
        let user = screened.map(|()| U::from_request(request, payload));
        let request = request.clone();
        Box::pin(async move {
            let user = user?.await.map_err(Into::into)?;
            let admitted = auth(&request)?.admit(&Head(&request), lifecycle(&request)?, user);
            Ok(Self(admitted.map_err(Error::from)?))
        })
    }
}

/// Lets a request pass that comes from a page of this origin, of a listed one, or from no page at all; for the
/// handler that signs in: see [`Auth::check_origin`]. Answers others with the refusal.
#[derive(Clone, Copy, Debug)]
pub struct TrustedOrigin(());

impl FromRequest for TrustedOrigin {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(auth(request).and_then(|auth| Ok(Self(auth.check_origin(&Head(request))?))))
    }
}

fn auth(request: &HttpRequest) -> Result<&Auth, Error> {
    request.app_data::<Auth>().ok_or_else(|| {
        tracing::error!("authorisation needs `App::configure(sse_actix::with_auth(..))`");
        not_configured()
    })
}

/// The handler of preflights (`OPTIONS`), for paths that pages of other origins use.
///
/// # Errors
/// None: the answer, 204 or 403, has the form of one.
pub async fn preflight(request: HttpRequest) -> Error {
    match auth(&request) {
        Ok(auth) => auth.preflight(&Head(&request)).into(),
        Err(error) => error,
    }
}
