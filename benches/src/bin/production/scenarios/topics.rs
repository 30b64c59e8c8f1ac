//! Topics come and go.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sse_core::{Hub, Start};

use super::Scale;
use crate::{figure::Figure, processes::this_program};

pub(super) fn run(scale: Scale) -> Vec<Figure> {
    let topics = scale.of("1000000", "100000");
    // A process of its own: what was allocated for other scenarios would blur it.
    let output = Command::new(this_program()).args(["topics", topics]).stderr(Stdio::inherit()).output();
    let seen: Value = serde_json::from_slice(&output.expect("a process").stdout).expect("JSON");
    let kib = |name: &str| seen[name].as_f64().expect("a number");
    let (base, after) = (kib("base"), kib("after"));
    vec![
        Figure::seen(
            "RSS with a full log, and after all of them",
            format!("{:.1}, {:.1} MB", base / 1024.0, after / 1024.0),
        ),
        Figure::timed("after × before", "≤ 1.1", format!("{:.3}", after / base), after <= base * 1.1),
        Figure::counted(
            "topics kept, and events",
            "≤ 2 × the events",
            format!("{}, {}", seen["topics"], seen["events"]),
            seen["topics"].as_u64() <= seen["events"].as_u64().map(|events| 2 * events),
        ),
    ]
}

/// `production topics <how many>`: memory in KiB, before and after.
pub(crate) fn come_and_go(topics: &str) {
    let topics: usize = topics.parse().expect("a number");
    let hub = Hub::new();
    let say = |n: usize| {
        let topic = format!("job/{n:012}");
        let subscription = hub.subscribe(topic.as_str(), Start::Now).expect("a topic");
        hub.publish_now(topic.as_str(), "done").expect("a topic");
        drop(subscription);
    };
    // Twice what a log keeps: full, and trimmed as often as filled.
    let full = 20_000;
    (0..full).for_each(say);
    let base = resident();
    (full..full + topics).for_each(say);
    let stats = hub.stats();
    println!(
        "{}",
        json!({ "base": base, "after": resident(), "topics": stats.topics, "events": stats.events })
    );
}

fn resident() -> f64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("its memory");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}
