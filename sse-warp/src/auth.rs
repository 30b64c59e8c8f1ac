//! [`authorized`]: the filter of requests with a good token.

use std::{convert::Infallible, fmt};

use sse_core::{Auth, Identity, Lifecycle};
use warp::{Filter, Rejection, Reply, reject};

use crate::{
    Error, Extracted,
    request::{Head, head},
};

/// A filter that extracts a request with a good token, or rejects with the refusal, which [`recover`] renders.
///
/// The streams end when the lifecycle says so; a [`Hub`](sse_core::Hub) brings one.
#[cfg(feature = "jwt")]
pub fn authorized<T: AsRef<Lifecycle>>(
    auth: &Auth,
    lifecycle: &T,
) -> impl Filter<Extract = (Authorized,), Error = Rejection> + Clone + use<T> {
    let auth = auth.clone();
    let lifecycle = lifecycle.as_ref().clone();
    head().and_then(move |head: Box<Head>| {
        let authorized = auth.authorize(&*head, &lifecycle);
        async {
            let authorized = authorized.await.map(|authorized| Extracted(authorized.with_user(ByToken)));
            authorized.map_err(|refusal| reject::custom(Error::from(refusal)))
        }
    })
}

/// As whom [`Authorized`] knows the one who asks where nothing else is said: by the token alone.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ByToken;

/// What the filter of requests with a good token extracts. It opens streams as [`SseRequest`](crate::SseRequest) does, of topics that
/// are granted, and is in any other handler the proof of who asks: see [`Extracted`] and [`sse_core::Authorized`].
/// `Authorized<U>` is what [`authorized_as`] extracts.
pub type Authorized<U = ByToken> = Extracted<sse_core::Authorized<U>>;

/// A filter for applications that sign people in by themselves: `user` is their own filter of the one who is signed in,
/// whose `U` turns into an [`Identity`] (`impl TryFrom<&U> for Identity`). It is asked only once no other site's page
/// has caused the request; what it rejects with stays. `client.user()` is the `U`.
pub fn authorized_as<T, F, U>(
    auth: &Auth,
    lifecycle: &T,
    user: F,
) -> impl Filter<Extract = (Authorized<U>,), Error = Rejection> + Clone + use<T, F, U>
where
    T: AsRef<Lifecycle>,
    F: Filter<Extract = (U,), Error = Rejection> + Clone + Send + Sync + 'static,
    U: Send + 'static,
    for<'a> &'a U: TryInto<Identity, Error: fmt::Display>,
{
    let screen = auth.clone();
    let screened = head().and_then(move |head: Box<Head>| {
        let screened = screen.screen(&*head).map_err(|refusal| reject::custom(Error::from(refusal)));
        std::future::ready(screened.map(|()| head))
    });
    let auth = auth.clone();
    let lifecycle = lifecycle.as_ref().clone();
    screened.and(user).and_then(move |head: Box<Head>, user: U| {
        let admitted = auth.admit(&*head, &lifecycle, user);
        let admitted = admitted.map(Extracted).map_err(|refusal| reject::custom(Error::from(refusal)));
        std::future::ready(admitted)
    })
}

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

/// Renders the refusals of the filters here, for [`Filter::recover`]; leaves other rejections alone.
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
