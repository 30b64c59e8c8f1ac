//! [`Extracted`]: a request as an extractor gives it, and what handlers do with it.

use sse_core::Request;

use crate::{Error, Sse};

sse_core::extracted! {
    /// What a handler is given of a request: [`SseRequest`](crate::SseRequest).
    ///
    /// Whatever fails here fails with [`Error`], which is a `ResponseError`: no handler has to
    /// convert an error of `sse_core` by itself. What else a request has is that of the type inside, to which this
    /// dereferences.
    pub struct Extracted<Request>, Sse, Error
}
