//! How servers listen, and what that makes of clients that read nothing, send nothing, or come in by the thousand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]
#![cfg(target_os = "linux")]

mod accepted;
mod forbidden;
mod heads;
mod shared;
mod stalled;
mod tls;
mod unix;
mod vanished;
mod warp_server;
