//! Server-Sent Events for warp.
mod request;
mod response;

pub use request::{SseRequest, request, with_hub};
pub use response::{Error, Sse};
pub use sse_core::*;
