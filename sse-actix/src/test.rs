//! What a client is sent, for tests with `actix_web::test`. With the feature `test-util`.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{HttpResponse, body::MessageBody, http::header};
use bytes::Bytes;
use futures_core::Stream;
#[doc(inline)]
pub use sse_core::test::{ClientEvent, EventReader, ReadError, ReadErrorKind};

/// The events of a response: what `actix_web::test::call_service` gives, or an [`HttpResponse`].
///
/// One that is no event stream has none; reading it fails with an error that shows the response.
pub fn events<B: MessageBody>(response: impl Into<HttpResponse<B>>) -> EventReader<Body<B>> {
    let (head, body) = response.into().into_parts();
    let content_type = head.headers().get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes);
    EventReader::from_answer(head.status().as_u16(), content_type, Body(Box::pin(body)))
}

/// A response's body as a stream.
#[derive(Debug)]
pub struct Body<B>(Pin<Box<B>>);

impl<B: MessageBody> Stream for Body<B> {
    type Item = Result<Bytes, String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = self.0.as_mut().poll_next(cx);
        chunk.map(|next| next.map(|next| next.map_err(|error| error.into().to_string())))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use actix_web::body::BodyStream;

    use super::*;

    #[actix_web::test]
    async fn what_is_no_stream_and_what_fails_is_shown() {
        let error = events(HttpResponse::NotFound().body("Nothing.")).next().await.unwrap_err();
        let start = "the answer is no event stream, but a 404 without a content type";
        assert!(error.to_string().starts_with(start), "{error}");
        assert!(error.to_string().ends_with("\n| Nothing.\n"), "{error}");

        struct Failing;

        impl Stream for Failing {
            type Item = Result<Bytes, io::Error>;

            fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
                Poll::Ready(Some(Err(io::Error::other("cut off"))))
            }
        }

        let failing = HttpResponse::Ok().content_type("text/event-stream").body(BodyStream::new(Failing));
        let error = events(failing).next().await.unwrap_err();
        assert_eq!(error.kind(), &ReadErrorKind::Body("cut off".into()));
    }
}
