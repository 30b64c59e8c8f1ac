//! The plainest requests for a stream.
#![allow(dead_code, reason = "each test needs one of them")]

use http::Request;

/// Without anything.
pub(crate) fn get() -> Request<()> {
    Request::new(())
}

/// With this `Last-Event-ID`, if any.
pub(crate) fn resume(id: Option<&str>) -> Request<()> {
    let mut request = get();
    request
        .headers_mut()
        .extend(id.map(|id| (http::header::HeaderName::from_static("last-event-id"), id.parse().unwrap())));
    request
}
