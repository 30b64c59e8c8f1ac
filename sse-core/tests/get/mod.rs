//! The plainest request for a stream.

use std::net::SocketAddr;

use sse_core::RequestHead;

pub(crate) struct Get;

impl RequestHead for Get {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn headers(&self, _: &str) -> Vec<&[u8]> {
        Vec::new()
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}
