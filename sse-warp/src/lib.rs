#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

mod request;
mod response;

pub use request::{PeerAddr, SseRequest, request, with_hub};
pub use response::{Error, Sse};
pub use sse_core::*;
