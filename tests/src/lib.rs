//! Shared parts of the tests: real clients, a browser and a proxy that cuts connections.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a failure is a failed test"
)]

pub mod browser;
pub mod clients;
pub mod examples;
pub mod http;
pub mod proxy;
pub mod servers;
pub mod tokens;

/// Compiles the code in the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
