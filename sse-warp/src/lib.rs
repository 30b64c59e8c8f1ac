#![doc = include_str!("../README.md")]
#![cfg_attr(feature = "jwt", doc = include_str!("auth.md"))]
#![cfg_attr(feature = "auth", doc = include_str!("sessions.md"))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

#[cfg(feature = "auth")]
mod auth;
mod extracted;
mod request;
mod response;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "test-util")]
pub mod test;

#[cfg(feature = "jwt")]
pub use auth::authorized;
#[cfg(feature = "auth")]
pub use auth::{Authorized, ByToken, authorized_as, preflight, recover, trusted_origin, with_auth};
pub use extracted::Extracted;
pub use request::{PeerAddr, SseRequest, request, with_hub, with_lifecycle};
pub use response::{Error, Sse};
#[cfg(feature = "server")]
pub use server::{Server, serve};
pub use sse_core::*;
