//! [`Sse`] and [`Error`]: a stream and a refusal as warp replies.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use sse_core::{EventStream, Source, Subscription, adapter_error};
use sync_wrapper::SyncWrapper;
use warp::{
    Reply,
    http::{HeaderName, HeaderValue, StatusCode},
    reject::Reject,
    reply::Response,
};

/// Sends an [`EventStream`]: `Sse` alone is that of a hub, `Sse<S>` that of a stream of the application's own.
#[derive(Debug)]
#[must_use = "a reply does nothing unless it is returned"]
pub struct Sse<S = Subscription>(pub EventStream<S>);

impl<S: Source + Send + 'static> Reply for Sse<S> {
    fn into_response(self) -> Response {
        let mut head = Response::default();
        for (name, value) in self.0.headers() {
            append(&mut head, name, &value);
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

adapter_error! {
    /// Any error of the library as a reply, so that a handler may return `Result<Sse<_>, Error>`.
    pub struct Error
}

/// For filters that reject with it: it turns into a `Rejection` by `?`, and `recover` finds it.
impl Reject for Error {}

impl Reply for Error {
    fn into_response(self) -> Response {
        let mut response = self.0.body().to_owned().into_response();
        *response.status_mut() =
            StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // warp has called it plain text, also where there is none.
        response.headers_mut().clear();
        for (name, value) in self.0.headers() {
            append(&mut response, name, value);
        }
        if self.0.closes_connection() {
            // hyper leaves it out over HTTP/2.
            append(&mut response, "connection", "close");
        }
        response
    }
}

/// What cannot stand in a header is left out.
fn append(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        // Several of one name are several cookies.
        response.headers_mut().append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_stand_in_a_header_is_left_out() {
        let mut response = Response::default();
        for (name, value) in
            [("", "x"), ("a b", "x"), ("é", "x"), ("a\n", "x"), ("x-a", "a\nb"), ("X-B", "x")]
        {
            append(&mut response, name, value);
        }
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.headers().get("x-b").map(HeaderValue::as_bytes), Some(b"x".as_slice()));
    }
}
