//! What one delivered event takes, by the difference of two runs.

use crate::{Fan, Process};

/// Runs a server for few events and for many, and counts at the end of each; the difference, for one delivered
/// event.
///
/// The longer run comes last: what a tool wrote of it stays beside the programs.
pub fn each_event<const N: usize>(
    clients: usize,
    window: usize,
    start: impl Fn() -> Process,
    count: impl Fn(Process) -> [f64; N],
) -> [f64; N] {
    let run = |events: u64| {
        let process = start();
        let mut fan = Fan::new(process.addr);
        fan.subscribe(clients, 32);
        fan.publish(window, events);
        count(process)
    };
    let (few, many) = (20, 120);
    let (less, more) = (run(few), run(many));
    std::array::from_fn(|n| (more[n] - less[n]) / ((many - few) as f64 * clients as f64))
}
