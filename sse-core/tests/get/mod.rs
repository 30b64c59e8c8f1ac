//! The plainest requests for a stream.
#![allow(dead_code, reason = "each test needs one of them")]

use http::Request;

/// Without anything.
pub(crate) fn get() -> Request<()> {
    Request::new(())
}

/// With this `Last-Event-ID`, if any.
pub(crate) fn resume(id: Option<&str>) -> Request<()> {
    let request = id.into_iter().fold(Request::builder(), |request, id| request.header("last-event-id", id));
    request.body(()).unwrap()
}
