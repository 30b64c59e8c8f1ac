//! [`Calls`]: system calls by kind, as `strace -c` sums them up.

/// What is told apart; the last is everything else.
pub const CALLS: [&str; 5] = ["writes", "reads", "epoll_wait", "futex", "other"];

/// How many of each of [`CALLS`].
pub type Calls = [f64; CALLS.len()];

pub(crate) fn calls(summary: &str) -> Calls {
    let mut calls = Calls::default();
    for (name, count) in summary.lines().filter_map(line) {
        calls[kind(name)] += count;
    }
    calls
}

/// `% time, seconds, usecs/call, calls, errors, syscall`, of which errors may be missing; head, rules and the sum
/// in the last line are none.
fn line(line: &str) -> Option<(&str, f64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (count, name) = (fields.get(3)?.parse().ok()?, *fields.last()?);
    (name != "total").then_some((name, count))
}

fn kind(name: &str) -> usize {
    match name {
        "write" | "writev" | "send" | "sendto" | "sendmsg" => 0,
        "read" | "readv" | "recv" | "recvfrom" => 1,
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => 2,
        "futex" => 3,
        _ => 4,
    }
}
