#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

mod answer;
mod builder;
mod cluster;
mod connect_error;
mod engine;
mod entry;
mod epochs;
mod first_of;
mod fitness;
mod keys;
mod left;
mod node;
mod publisher;
mod script;
mod server;
mod tail;
mod trouble;

pub use builder::RedisBuilder;
pub use connect_error::ConnectError;
pub use engine::Redis;
