//! [`authorized`]: the filter of requests with a good token.

use std::convert::Infallible;

use sse_core::{Auth, Lifecycle};
use warp::{Filter, Rejection, Reply, reject};

use crate::{
    Error, Extracted,
    request::{Head, head},
};

/// A filter that extracts a request with a good token, or rejects with the refusal, which [`recover`] renders.
///
/// The streams end when the lifecycle says so; a [`Hub`](sse_core::Hub) brings one.
pub fn authorized<T: AsRef<Lifecycle>>(
    auth: &Auth,
    lifecycle: &T,
) -> impl Filter<Extract = (Authorized,), Error = Rejection> + Clone + use<T> {
    let auth = auth.clone();
    let lifecycle = lifecycle.as_ref().clone();
    head().and_then(move |head: Box<Head>| {
        let authorized = auth.authorize(&*head, &lifecycle);
        async { authorized.await.map(Extracted).map_err(|refusal| reject::custom(Error::from(refusal))) }
    })
}

/// What the [`authorized`] filter extracts. It opens streams as [`SseRequest`](crate::SseRequest) does, of topics that
/// are granted, and is in any other handler the proof of who asks: see [`Extracted`] and [`sse_core::Authorized`].
pub type Authorized = Extracted<sse_core::Authorized>;

/// A filter that lets a request pass that comes from a page of this origin, of a listed one, or from no page at all;
/// for the handler that signs in: see [`Auth::check_origin`]. Rejects others with the refusal, which [`recover`]
/// renders.
pub fn trusted_origin(auth: &Auth) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let auth = auth.clone();
    let checked = head().and_then(move |head: Box<Head>| {
        let checked = auth.check_origin(&*head).map_err(|refusal| reject::custom(Error::from(refusal)));
        std::future::ready(checked)
    });
    checked.untuple_one()
}

/// Renders the refusals of [`authorized`] and [`trusted_origin`], for [`Filter::recover`]; leaves other rejections alone.
///
/// # Errors
/// The rejection, where it is another's.
pub async fn recover(rejection: Rejection) -> Result<impl Reply, Rejection> {
    match rejection.find::<Error>() {
        Some(error) => Ok(error.clone()),
        None => Err(rejection),
    }
}

/// A filter that answers preflights (`OPTIONS`), for paths that pages of other origins use.
pub fn preflight(auth: &Auth) -> impl Filter<Extract = (Error,), Error = Rejection> + Clone + use<> {
    let auth = auth.clone();
    warp::options().and(head()).map(move |head: Box<Head>| Error::from(auth.preflight(&*head)))
}

/// A filter that gives a handler the [`Auth`].
pub fn with_auth(auth: &Auth) -> impl Filter<Extract = (Auth,), Error = Infallible> + Clone + use<> {
    let auth = auth.clone();
    warp::any().map(move || auth.clone())
}
