//! [`Args`]: what all benchmarks are told in the same way.

/// Every server, by program.
pub const SERVERS: [&str; 11] = [
    "epoll",
    "epoll-log",
    "ours-actix",
    "actix-floor",
    "actix-own",
    "ours-warp",
    "warp-floor",
    "warp-own",
    "ours-rocket",
    "rocket-floor",
    "rocket-own",
];

#[derive(Debug)]
pub struct Args(Vec<String>);

impl Args {
    #[expect(clippy::new_without_default, reason = "it reads what the process was given")]
    pub fn new() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|arg| arg == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    pub fn number(&self, name: &str, default: usize) -> usize {
        self.value(name).map_or(default, |n| n.parse().expect("a number"))
    }

    /// Those of the servers that `--only` names, or all.
    pub fn servers(&self, all: &[&'static str]) -> Vec<&'static str> {
        let only: Option<Vec<&str>> = self.value("--only").map(|names| names.split(',').collect());
        all.iter().copied().filter(|name| only.as_ref().is_none_or(|only| only.contains(name))).collect()
    }
}

/// Which framework a server belongs to.
pub fn framework(server: &str) -> &str {
    ["actix", "rocket", "warp"].into_iter().find(|name| server.contains(name)).unwrap_or_default()
}
