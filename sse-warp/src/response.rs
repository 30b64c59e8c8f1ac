//! [`Sse`] and [`Error`]: a stream and a refusal as warp replies.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use sse_core::{EventStream, Refusal, Source};
use sync_wrapper::SyncWrapper;
use warp::{
    Reply,
    http::{HeaderValue, StatusCode},
    reply::Response,
};

/// Sends an [`EventStream`].
#[derive(Debug)]
#[must_use = "a reply does nothing unless it is returned"]
pub struct Sse<S>(pub EventStream<S>);

impl<S: Source + Send + 'static> Reply for Sse<S> {
    fn into_response(self) -> Response {
        let mut head = Response::default();
        for (name, value) in self.0.headers() {
            insert(&mut head, name, &value);
        }
        let body = Body(SyncWrapper::new(Box::pin(self.0)));
        let mut response = warp::reply::stream(body).into_response();
        *response.headers_mut() = std::mem::take(head.headers_mut());
        response
    }
}

/// warp wants its body `Sync`; an application's stream need not be.
struct Body<S>(SyncWrapper<Pin<Box<EventStream<S>>>>);

impl<S: Source> Stream for Body<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.get_mut().as_mut().poll_next(cx).map(|chunk| chunk.map(Ok))
    }
}

/// Any error of the library as a reply, so that a handler may return `Result<Sse<_>, Error>`.
#[derive(Clone, Debug)]
pub struct Error(Refusal);

impl<E: Into<Refusal>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl Reply for Error {
    fn into_response(self) -> Response {
        let mut response = self.0.body().to_owned().into_response();
        *response.status_mut() =
            StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // warp has called it plain text, also where there is none.
        response.headers_mut().clear();
        for (name, value) in self.0.headers() {
            insert(&mut response, name, value);
        }
        response
    }
}

fn insert(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
