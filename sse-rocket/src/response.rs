//! [`Sse`] and [`Error`]: a stream and a refusal as Rocket responses.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use rocket::{
    Request,
    http::{Header, Status},
    response::{self, Responder, Response},
    tokio::io::{AsyncRead, ReadBuf},
};
use sse_core::{EventStream, Refusal, Source, Subscription};

/// Sends an [`EventStream`]: `Sse` alone is that of a hub, `Sse<S>` that of a stream of the application's own.
#[derive(Debug)]
#[must_use = "a response does nothing unless it is returned"]
pub struct Sse<S = Subscription>(pub EventStream<S>);

impl<'r, 'o: 'r, S: Source + Send + 'o> Responder<'r, 'o> for Sse<S> {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'o> {
        let mut response = Response::build();
        for (name, value) in self.0.headers().filter(|(name, value)| is_ours(name, value)) {
            // Several of one name are several cookies.
            response.raw_header_adjoin(name, value);
        }
        response.streamed_body(Body { stream: Box::pin(self.0), rest: Bytes::new() }).ok()
    }
}

/// Fills Rocket's buffer of 4 KiB with as many events as are due: one chunk, where a chunk each would triple
/// the cost. Larger buffers stay resident in full.
struct Body<S> {
    stream: Pin<Box<EventStream<S>>>,
    /// What did not fit of an event larger than the buffer.
    rest: Bytes,
}

impl<S: Source> AsyncRead for Body<S> {
    // Pending where something was read would lose it; ready where nothing was is the end.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        self.give(buf);
        while buf.remaining() > 0 {
            match self.stream.as_mut().poll_chunk(cx, buf.remaining()) {
                Poll::Ready(Some(chunk)) if chunk.len() <= buf.remaining() => buf.put_slice(&chunk),
                Poll::Ready(Some(chunk)) => {
                    self.rest = chunk;
                    self.give(buf);
                }
                Poll::Pending if buf.filled().len() == before => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
            // Where there is more, up to the brim: what is left of the buffer would be a chunk of its own.
            if !self.stream.has_more() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Body<S> {
    /// As much of the rest as there is room for.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        if !self.rest.is_empty() {
            let len = self.rest.len().min(buf.remaining());
            buf.put_slice(&self.rest.split_to(len));
        }
    }
}

/// Header fields of ours, but for one that Rocket sets itself: its Shield warns of every answer that has it
/// already. What cannot stand in a header is left out.
fn is_ours(name: &str, value: &str) -> bool {
    name != "x-content-type-options" && Header::is_valid_name(name) && Header::is_valid_value(value, true)
}

/// Any error of the library as a response, so that `?` works in a handler.
#[derive(Clone, Debug)]
pub struct Error(Refusal);

impl Error {
    /// What it is as an answer: a status, header fields and a sentence, for an error type of your own.
    pub fn refusal(&self) -> &Refusal {
        &self.0
    }

    /// The status that a catcher is asked to render. One that is no error, which tells a browser to come back, has
    /// none.
    pub(crate) fn status(&self) -> Status {
        match self.0.status() {
            200 => Status::ServiceUnavailable,
            status => Status::new(status),
        }
    }

    /// Makes a response this one, or where a catcher of the application made it, gives it the header fields alone.
    /// What others have set stays.
    #[cfg(feature = "auth")]
    pub(crate) fn put(self, response: &mut Response<'_>, is_caught: bool) {
        let whole = !is_caught || self.0.status() == 200;
        for (name, value) in self.0.headers().filter(|(name, value)| is_ours(name, value)) {
            match name {
                "vary" | "set-cookie" => response.adjoin_raw_header(name, value.to_owned()),
                "content-type" if !whole => {}
                _ => {
                    response.set_raw_header(name, value.to_owned());
                }
            }
        }
        if whole {
            response.set_status(Status::new(self.0.status()));
            let body = self.0.into_body();
            response.set_sized_body(body.len(), io::Cursor::new(body));
        }
    }
}

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

impl std::error::Error for Error {}

/// For handlers that return `Result<_, Status>`: the sentence and the header fields are lost.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.status()
    }
}

impl<'r, 'o: 'r> Responder<'r, 'o> for Error {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'o> {
        let mut response = Response::build();
        response.status(Status::new(self.0.status()));
        for (name, value) in self.0.headers().filter(|(name, value)| is_ours(name, value)) {
            response.raw_header(name, value.to_owned());
        }
        let body = self.0.into_body();
        response.sized_body(body.len(), io::Cursor::new(body)).ok()
    }
}
