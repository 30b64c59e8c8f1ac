//! What cannot run here: named, or a failure where everything must run.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// Names on standard error what is missing, once for each `kind`.
///
/// # Panics
///
/// When something is missing although `SSE_TESTS_REQUIRE_ALL` is `1`.
pub fn left_out(kind: &'static str, missing: &[String]) {
    let reasons: String = missing.iter().map(|reason| format!("left out: {reason}\n")).collect();
    assert!(
        missing.is_empty() || std::env::var_os("SSE_TESTS_REQUIRE_ALL").is_none_or(|v| v != "1"),
        "SSE_TESTS_REQUIRE_ALL is set, but {kind} are missing\n{reasons}"
    );
    name_once(kind, &reasons);
}

/// Names on standard error why something is left out that cannot be had where the tests run, once for each `kind`.
pub fn left_out_here(kind: &'static str, reason: &str) {
    name_once(kind, &format!("left out: {reason}\n"));
}

fn name_once(kind: &'static str, reasons: &str) {
    static NAMED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if NAMED.lock().unwrap_or_else(PoisonError::into_inner).insert(kind) {
        // Unlike eprint!, this is not captured by the test harness.
        let _ = std::io::stderr().write_all(reasons.as_bytes());
    }
}

/// A program: what the variable names, or the first of these on the path.
pub(crate) fn program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    names.iter().find_map(|name| find_on_path(name))
}

fn find_on_path(name: &str) -> Option<PathBuf> {
    // Joining an absolute path replaces the folder.
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
