//! Shared parts of the benchmarks: what the servers publish, and one process that plays all clients.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark may fail where it stands"
)]

mod args;
mod calls;
mod channel;
mod contender;
mod difference;
mod fan;
mod process;
mod report;

pub use args::{Args, SERVERS, framework};
pub use calls::{CALLS, Calls};
pub use channel::{Channel, EPOCH, Encoded, Published, Text, channel, frame, live, opened};
pub use contender::{Contender, Slice, by_turns};
pub use difference::each_event;
pub use fan::{Fan, MARK, body};
pub use process::{Process, cpu, pin, programs};
pub use report::{Report, median, percentile, spread};
