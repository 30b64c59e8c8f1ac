//! Public keys with a few bytes wrong: nothing panics, and OpenSSL reads whatever is taken.
//!
//! `SSE_MUTANTS_CASES` says how many there are of each kind.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sse_core::{Key, KeyError};

use super::text;

/// How many of a kind OpenSSL is asked about.
const ASKED: usize = 40;

/// In lines of 64, as OpenSSL wants them.
fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

/// Most of what is wrong stands at the beginning, where the structure is.
fn mutate(rng: &mut StdRng, der: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..4) {
        let len = if rng.random_bool(0.7) { der.len().min(40) } else { der.len() };
        let at = rng.random_range(0..len);
        match rng.random_range(0..6) {
            0 => der[at] ^= 1 << rng.random_range(0..8),
            1 => der[at] = rng.random(),
            2 => der.insert(at, rng.random()),
            3 => der.push(rng.random()),
            4 => der[at] = der[at].wrapping_add(1),
            _ => drop(der.remove(at)),
        }
    }
}

fn mutate_text(rng: &mut StdRng, pem: &str) -> String {
    let mut text: Vec<char> = pem.chars().collect();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..text.len());
        let other = *['\n', '\r', ' ', '-', '=', 'A', '/', 'é', '\0'].choose(rng).unwrap();
        match rng.random_range(0..3) {
            0 => text[at] = other,
            1 => text.insert(at, other),
            _ => drop(text.remove(at)),
        }
    }
    text.into_iter().collect()
}

/// `None` where there is no OpenSSL.
fn openssl_reads(pem: &str) -> Option<bool> {
    let form: &[&str] =
        if pem.contains("RSA PUBLIC") { &["rsa", "-RSAPublicKey_in"] } else { &["pkey", "-pubin"] };
    let mut child = Command::new("openssl")
        .args(form)
        .arg("-noout")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // It may have read enough before the end.
    let _ = child.stdin.take()?.write_all(pem.as_bytes());
    Some(child.wait().ok()?.success())
}

#[test]
fn keys_with_a_few_bytes_wrong_are_refused_where_openssl_refuses_them() {
    let cases = std::env::var("SSE_MUTANTS_CASES").map_or(3000, |text| text.parse().unwrap());
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut is_there = true;
    for name in ["rsa", "rsa_pkcs1", "p256", "p384", "ed25519"] {
        let good = text(&format!("/pem/{name}"));
        let label = if name == "rsa_pkcs1" { "RSA PUBLIC KEY" } else { "PUBLIC KEY" };
        let der = der(&good);
        assert!(Key::pem(pem(label, &der)).is_ok());
        let mut taken = BTreeSet::new();
        for _ in 0..cases {
            let mut mutant = der.clone();
            mutate(&mut rng, &mut mutant);
            let mutant = pem(label, &mutant);
            if Key::pem(&mutant).is_ok() {
                taken.insert(mutant);
            }
            let _ = Key::pem(mutate_text(&mut rng, &good));
        }
        for mutant in taken.iter().take(ASKED) {
            let Some(reads) = openssl_reads(mutant) else {
                is_there = false;
                break;
            };
            assert!(reads, "{name}, seed {seed}: OpenSSL refuses\n{mutant}");
        }
    }
    if !is_there {
        assert!(std::env::var_os("SSE_TESTS_REQUIRE_ALL").is_none(), "there is no openssl");
        let _ = writeln!(std::io::stderr(), "SKIPPED what OpenSSL says of keys: there is none");
    }
}

#[test]
fn points_beside_the_curve_are_no_keys() {
    for name in ["p256", "p384"] {
        let mut der = der(&text(&format!("/pem/{name}")));
        *der.last_mut().unwrap() ^= 1;
        assert_eq!(Key::pem(pem("PUBLIC KEY", &der)).unwrap_err(), KeyError::Format, "{name}");
    }
    let zero = "A".repeat(43);
    let jwk = serde_json::json!({"kty": "EC", "crv": "P-256", "x": zero, "y": zero});
    assert_eq!(Key::jwk(jwk.to_string()).unwrap_err(), KeyError::Format);
}
