#![doc = include_str!("../README.md")]
#![cfg_attr(feature = "jwt", doc = include_str!("auth.md"))]
#![cfg_attr(feature = "auth", doc = include_str!("sessions.md"))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

#[cfg(feature = "auth")]
mod auth;
mod extracted;
mod fairing;
mod request;
mod response;
#[cfg(feature = "test-util")]
pub mod test;

#[cfg(feature = "auth")]
pub use auth::{AuthFairing, Authorized, ByToken, TrustedOrigin, with_auth, with_auth_at};
pub use extracted::Extracted;
pub use fairing::{SseFairing, with_hub, with_lifecycle};
pub use request::SseRequest;
pub use response::{Error, Sse};
pub use sse_core::*;
