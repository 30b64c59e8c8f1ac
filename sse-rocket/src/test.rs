//! What a client is sent, for tests with `rocket::local`. With the feature `test-util`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use rocket::{
    local::asynchronous::LocalResponse,
    tokio::io::{AsyncRead, ReadBuf},
};
#[doc(inline)]
pub use sse_core::test::{ClientEvent, EventReader, ReadError, ReadErrorKind};

/// The events of a response: what `dispatch` gives in an asynchronous test. (Its `into_string` waits for the end of the
/// body, and so for ever.)
///
/// One that is no event stream has none; reading it fails with an error that shows the response.
pub fn events(response: LocalResponse<'_>) -> EventReader<Body<'_>> {
    let status = response.status().code;
    let content_type = response.headers().get_one("content-type").map(str::to_owned);
    EventReader::from_answer(status, content_type.as_deref().map(str::as_bytes), Body(response))
}

/// A response's body as a stream.
#[derive(Debug)]
pub struct Body<'c>(LocalResponse<'c>);

impl Stream for Body<'_> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut buffer = [0; 4096];
        let mut buffer = ReadBuf::new(&mut buffer);
        Pin::new(&mut self.0).poll_read(cx, &mut buffer).map(|read| {
            let chunk = Bytes::copy_from_slice(buffer.filled());
            read.map(|()| chunk).map(|chunk| (!chunk.is_empty()).then_some(chunk)).transpose()
        })
    }
}

#[cfg(test)]
mod tests {
    use rocket::{Config, http::Status, local::asynchronous::Client};

    use super::*;

    #[rocket::async_test]
    async fn what_is_no_stream_is_shown() {
        let rocket = rocket::custom(Config::figment().merge(("log_level", "off")));
        let client = Client::tracked(rocket).await.unwrap();
        let response = client.get("/nothing").dispatch().await;
        assert_eq!(response.status(), Status::NotFound);
        let error = events(response).next().await.unwrap_err().to_string();
        assert!(error.starts_with("the answer is no event stream, but a 404 of text/html"), "{error}");
        assert!(error.contains("could not be found"), "{error}");
    }
}
