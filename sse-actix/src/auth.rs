//! [`Authorized`]: the extractor of a request with a good token.

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::ServiceConfig};
use sse_core::Auth;

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

/// Extracts a request with a good token, or answers with the refusal.
///
/// It opens streams as [`SseRequest`](crate::SseRequest) does, of topics that are granted, and is in any other handler
/// the proof of who asks: see [`Extracted`] and [`sse_core::Authorized`]. Refuses with 500, and says so in the log,
/// where [`with_auth`] was not configured.
pub type Authorized = Extracted<sse_core::Authorized>;

impl FromRequest for Authorized {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let authorized =
            lifecycle(request).and_then(|lifecycle| Ok(auth(request)?.authorize(&Head(request), lifecycle)));
        Box::pin(async { Ok(Self(authorized?.await?)) })
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
