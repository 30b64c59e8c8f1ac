//! What a client is sent, for tests with `warp::test`. With the feature `test-util`.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::Body as _;
#[doc(inline)]
pub use sse_core::test::{ClientEvent, EventReader, ReadError, ReadErrorKind};
use warp::{
    Reply,
    http::{HeaderValue, header},
    reply::Response,
};

/// The events of a reply: what `warp::test::request().filter(&routes)` gives, or the response that is made of it. (Its
/// `reply` waits for the end of the body, and so for ever.)
///
/// One that is no event stream has none; reading it fails with an error that shows the reply.
pub fn events(reply: impl Reply) -> EventReader<Body> {
    let response = reply.into_response();
    let status = response.status().as_u16();
    let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
    EventReader::from_answer(status, content_type.as_ref().map(HeaderValue::as_bytes), Body(response))
}

/// A reply's body as a stream.
#[derive(Debug)]
pub struct Body(Response);

impl Stream for Body {
    type Item = Result<Bytes, warp::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match Pin::new(self.0.body_mut()).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(data))),
                    // Trailers.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use warp::http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn what_is_no_stream_is_shown() {
        let reply = warp::reply::with_status("Nothing.", StatusCode::NOT_FOUND);
        let error = events(reply).next().await.unwrap_err().to_string();
        assert!(error.starts_with("the answer is no event stream, but a 404 of text/plain"), "{error}");
        assert!(error.ends_with("\n| Nothing.\n"), "{error}");
    }
}
