//! The plainest requests for a stream.
#![allow(dead_code, reason = "each test needs one of them")]

use std::net::SocketAddr;

use sse_core::RequestHead;

/// Without anything.
pub(crate) struct Get;

/// With this `Last-Event-ID`, if any.
pub(crate) struct Resume(pub(crate) Option<String>);

impl RequestHead for Get {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn headers<'a>(&'a self, _: &'a str) -> impl Iterator<Item = &'a [u8]> {
        std::iter::empty()
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

impl RequestHead for Resume {
    fn method(&self) -> &'static str {
        Get.method()
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.as_deref().filter(|_| name == "last-event-id").map(str::as_bytes).into_iter()
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}
