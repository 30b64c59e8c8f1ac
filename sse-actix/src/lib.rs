//! Server-Sent Events for actix-web.
mod request;
mod response;

pub use request::{SseRequest, with_hub, with_lifecycle};
pub use response::{Body, Error, Sse};
pub use sse_core::*;
