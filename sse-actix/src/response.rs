//! [`Sse`] and [`Error`]: a stream and a refusal as actix-web responses.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse, Responder, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    http::{
        ConnectionType, StatusCode, Version,
        header::{HeaderName, HeaderValue},
    },
};
use bytes::Bytes;
use sse_core::{EventStream, Source, Subscription, adapter_error};

/// How much one body is given before others have their turn. actix-web polls a body until its socket is full,
/// and keeps a write buffer as large as the largest burst.
const TURN: usize = 4096;

/// Sends an [`EventStream`]: `Sse` alone is that of a hub, `Sse<S>` that of a stream of the application's own.
#[derive(Debug)]
#[must_use = "a response does nothing unless it is returned"]
pub struct Sse<S = Subscription>(pub EventStream<S>);

impl<S: Source + 'static> Responder for Sse<S> {
    type Body = Body<S>;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse<Body<S>> {
        let mut response = HttpResponse::new(StatusCode::OK).drop_body();
        if request.version() < Version::HTTP_11 {
            response.head_mut().no_chunking(true);
        }
        for (name, value) in self.0.headers() {
            append(&mut response, name, &value);
        }
        // Over HTTP/2 a body is a task of its own, which only learns by writing that nobody reads any more. The listener
        // is the application's.
        let stream = match request.version() {
            Version::HTTP_2 => self.0.noticed_by_writing(Duration::ZERO),
            _ => self.0,
        };
        response.set_body(Body(Box::pin(stream)))
    }
}

/// The body of an [`Sse`] response.
#[derive(Debug)]
pub struct Body<S>(Pin<Box<EventStream<S>>>);

impl<S: Source> MessageBody for Body<S> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    // Never an empty chunk: actix-web takes it for the end.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.0.as_mut().poll_turn(cx, TURN).map(|chunk| chunk.map(Ok))
    }
}

adapter_error! {
    /// Any error of the library as a response, so that `?` works in a handler.
    pub struct Error
}

impl Responder for Error {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse<BoxBody> {
        self.error_response()
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response =
            HttpResponse::with_body(self.status_code(), BoxBody::new(self.0.body().to_owned()));
        for (name, value) in self.0.headers() {
            append(&mut response, name, value);
        }
        if self.0.closes_connection() {
            // Over HTTP/2 nothing comes of it.
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        response
    }
}

/// What cannot stand in a header is left out.
fn append<B>(response: &mut HttpResponse<B>, name: &str, value: &str) {
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
        let mut response = HttpResponse::new(StatusCode::OK);
        for (name, value) in
            [("", "x"), ("a b", "x"), ("é", "x"), ("a\n", "x"), ("x-a", "a\nb"), ("X-B", "x")]
        {
            append(&mut response, name, value);
        }
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.headers().get("x-b").map(HeaderValue::as_bytes), Some(b"x".as_slice()));
    }
}
