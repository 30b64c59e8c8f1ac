//! [`IntoAsyncRead`]: the body for frameworks that read it into a buffer of theirs.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::EventStream;
use crate::source::Source;

/// An [`EventStream`] that is read into a buffer, for frameworks whose bodies are
/// [`AsyncRead`]: made by [`EventStream::into_async_read`].
///
/// A read takes as many events as are due and fit: a server that makes a chunk of every read makes one for all of them.
/// An event that does not fit is given in pieces, over several reads. Nothing read is the end.
#[derive(Debug)]
#[must_use = "a body does nothing unless it is sent"]
pub struct IntoAsyncRead<S> {
    stream: Pin<Box<EventStream<S>>>,
    /// What did not fit of an event larger than the buffer.
    rest: Bytes,
}

impl<S: Source> EventStream<S> {
    /// The body for frameworks that read it into a buffer of theirs.
    pub fn into_async_read(self) -> IntoAsyncRead<S> {
        IntoAsyncRead { stream: Box::pin(self), rest: Bytes::new() }
    }
}

impl<S: Source> AsyncRead for IntoAsyncRead<S> {
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

impl<S> IntoAsyncRead<S> {
    /// As much of the rest as there is room for.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        if !self.rest.is_empty() {
            let len = self.rest.len().min(buf.remaining());
            buf.put_slice(&self.rest.split_to(len));
        }
    }
}
