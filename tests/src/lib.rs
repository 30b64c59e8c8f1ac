//! Shared parts of the tests: real clients, a browser, a proxy that cuts connections, and real proxies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a failure is a failed test"
)]

mod addrs;
pub mod browser;
pub mod clients;
pub mod engines;
pub mod examples;
pub mod h2;
pub mod http;
mod left_out;
pub mod nats;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod redis;
pub mod redis_cluster;
pub mod reverse_proxy;
pub mod sdks;
pub mod servers;
pub mod tls;
pub mod tokens;
pub mod traffic;

use left_out::program;
pub use left_out::{left_out, left_out_here};

/// Makes a test of each of these functions for each framework: `actix::…`, `rocket::…`, `warp::…`.
#[macro_export]
macro_rules! on_each_framework {
    ($($case:ident)*) => {
        $crate::on_each_framework!(@framework actix Actix $($case)*);
        $crate::on_each_framework!(@framework rocket Rocket $($case)*);
        $crate::on_each_framework!(@framework warp Warp $($case)*);
    };
    (@framework $module:ident $framework:ident $($case:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::servers::Framework::$framework).await;
            })*
        }
    };
}

/// Compiles the code in the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Compiles the code in the documents.
#[cfg(doctest)]
#[doc = include_str!("../../docs/auth.md")]
#[doc = include_str!("../../docs/limits.md")]
#[doc = include_str!("../../docs/metrics.md")]
#[doc = include_str!("../../docs/nodes.md")]
#[doc = include_str!("../../docs/stopping.md")]
#[doc = include_str!("../../docs/tls.md")]
pub struct Documents;

/// Compiles the code in the document on production.
#[cfg(doctest)]
#[doc = include_str!("../../docs/production.md")]
pub struct Production;
