//! Whose types stand in the libraries' public API. A crate among them can only be updated with a new major version of
//! ours, so each is a choice: `package.metadata.public-types` in the library's `Cargo.toml` lists them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value};

/// Not versions of anything that an application could choose.
const STANDARD: [&str; 3] = ["alloc", "core", "std"];

#[test]
fn the_public_api_shows_the_crates_that_it_lists_and_no_others() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("what `cargo metadata` prints");
    let docs = PathBuf::from(metadata["target_directory"].as_str().unwrap()).join("doc");
    let mut wrong = String::new();
    for name in ["sse-core", "sse-actix", "sse-nats", "sse-redis", "sse-rocket", "sse-warp"] {
        let mut packages = metadata["packages"].as_array().unwrap().iter();
        let package = packages.find(|package| package["name"] == name).expect(name);
        let listed = package["metadata"]["public-types"].as_array().expect("a list of crates");
        let listed: BTreeSet<_> = listed.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        let shown = crates_shown(&documented(name, &docs));
        assert!(!shown.is_empty(), "{name} shows nothing at all: this test does not see it");
        for (krate, at) in shown.iter().filter(|(krate, _)| !listed.contains(*krate)) {
            wrong += &format!("{name} shows {krate} and does not list it: {}\n", at.join(", "));
        }
        for krate in listed.iter().filter(|krate| !shown.contains_key(*krate)) {
            wrong += &format!("{name} lists {krate} and does not show it\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What rustdoc knows of a library with all its features. What is hidden from its pages is no API.
fn documented(package: &str, docs: &Path) -> Value {
    let status = Command::new(env!("CARGO"))
        .args(["rustdoc", "--quiet", "--locked", "--package", package, "--lib", "--all-features", "--"])
        .args(["-Zunstable-options", "--output-format=json", "--cap-lints=allow"])
        .env("RUSTDOC", rustdoc())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "rustdoc fails for {package}");
    let file = docs.join(package.replace('-', "_")).with_extension("json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// rustdoc with its unstable options. For it alone: the variable in cargo's environment would build all dependencies
/// anew, with whatever they find unstable.
fn rustdoc() -> PathBuf {
    let real = std::env::var("RUSTDOC").unwrap_or_else(|_| "rustdoc".into());
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustdoc-unstable");
    fs::write(&script, format!("#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec '{real}' \"$@\"\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// The other crates, each with the items of ours that name something of theirs.
fn crates_shown(docs: &Value) -> BTreeMap<String, Vec<String>> {
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for item in docs["index"].as_object().unwrap().values() {
        if item["crate_id"] != 0 || is_implied(&item["inner"]) {
            continue;
        }
        let at = docs["paths"][item["id"].to_string()]["path"].as_array().map_or_else(
            || item["name"].as_str().unwrap_or("an impl").to_owned(),
            |path| path.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("::"),
        );
        named(&item["inner"], &mut |id| {
            let krate = &docs["paths"][id.to_string()]["crate_id"];
            if let Some(name) = docs["external_crates"][krate.to_string()]["name"].as_str() {
                shown.entry(name.to_owned()).or_default().insert(at.clone());
            }
        });
    }
    shown.retain(|name, _| !STANDARD.contains(&&**name));
    shown.into_iter().map(|(name, at)| (name, at.into_iter().take(5).collect())).collect()
}

/// Traits that others implement for every type are not ours to show; nor is what a macro writes behind `Unpin`.
fn is_implied(inner: &Value) -> bool {
    let implied = &inner["impl"];
    implied["is_synthetic"] == true
        || implied["blanket_impl"].is_object()
        || implied["trait"]["path"] == "Unpin"
}

/// Goes through all that an item says to each path in it: of a type, a trait, a re-export.
fn named(value: &Value, found: &mut impl FnMut(u64)) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| named(value, found)),
        Value::Object(fields) => {
            if let Some(id) = path_id(fields) {
                found(id);
            }
            fields.values().for_each(|value| named(value, found));
        }
        _ => {}
    }
}

fn path_id(fields: &Map<String, Value>) -> Option<u64> {
    (fields.contains_key("path") || fields.contains_key("source"))
        .then(|| fields.get("id")?.as_u64())
        .flatten()
}
