//! Server-Sent Events for Rocket.
mod fairing;
mod request;
mod response;

pub use fairing::{SseFairing, with_hub, with_lifecycle};
pub use request::SseRequest;
pub use response::{Error, Sse};
pub use sse_core::*;
