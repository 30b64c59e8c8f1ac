//! [`Sse`] and [`Error`]: a stream and a refusal as actix-web responses.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    HttpRequest, HttpResponse, Responder, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    http::{StatusCode, header::HeaderValue},
};
use bytes::Bytes;
use sse_core::{EventStream, Refusal, Source};

/// How much one body is given before others have their turn. actix-web polls a body until its socket is full,
/// and keeps a write buffer as large as the largest burst.
const TURN: usize = 4096;

/// Sends an [`EventStream`].
#[derive(Debug)]
#[must_use = "a response does nothing unless it is returned"]
pub struct Sse<S>(pub EventStream<S>);

impl<S: Source + 'static> Responder for Sse<S> {
    type Body = Body<S>;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse<Body<S>> {
        let mut response = HttpResponse::new(StatusCode::OK).drop_body();
        for (name, value) in self.0.headers() {
            insert(&mut response, name, &value);
        }
        response.set_body(Body(Box::pin(self.0)))
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

/// Any error of the library as a response, so that `?` works in a handler.
#[derive(Clone, Debug)]
pub struct Error(Refusal);

impl<E: Into<Refusal>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
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
            insert(&mut response, name, value);
        }
        response
    }
}

fn insert<B>(response: &mut HttpResponse<B>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(actix_web::http::header::HeaderName::from_static(name), value);
    }
}
