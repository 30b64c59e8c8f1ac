#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

mod request;
mod response;

pub use request::{SseRequest, with_hub, with_lifecycle};
pub use response::{Body, Error, Sse};
pub use sse_core::*;
