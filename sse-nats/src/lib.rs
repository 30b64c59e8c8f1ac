#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

mod api;
mod at_leader;
mod connect_error;
mod connection;
#[cfg(feature = "nkeys")]
mod credentials;
mod denials;
mod engine;
mod epoch;
mod keeper;
mod link;
mod reader;
mod seen;
mod settings;
mod stream_config;
mod tail;
mod timestamp;
mod tls;

pub use connect_error::ConnectError;
pub use engine::{JetStream, JetStreamBuilder};
