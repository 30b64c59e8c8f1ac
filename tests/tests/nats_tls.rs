//! The engine on NATS over TLS, with the cryptography that the application has installed: a process of its own, since it is
//! the whole process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::fs;

use async_nats::rustls::crypto::aws_lc_rs;
use sse_core::{Engine, Publication};
use sse_nats::JetStream;
use sse_tests::{nats::Nats, proxy::Proxy};
use tempfile::TempDir;

#[tokio::test]
async fn over_tls() {
    if !Nats::is_available() {
        return;
    }
    aws_lc_rs::default_provider().install_default().unwrap();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("certificate.pem"), certified.cert.pem()).unwrap();
    fs::write(path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let nats = Nats::start_with(&format!(
        "jetstream {{ store_dir: \"STORE\" }}\ntls {{ cert_file: {:?}, key_file: {:?} }}",
        path("certificate.pem"),
        path("key.pem")
    ))
    .await;
    // At the address of the name.
    let link = Proxy::start(nats.addr(), std::iter::empty()).await.unwrap();
    let port = link.addr().port();
    let url = format!("tls://localhost:{port}");
    let engine = JetStream::builder(&url).root_certificates(path("certificate.pem")).connect().await.unwrap();
    assert!(engine.publish(Publication::new("key", "record")).await.unwrap().is_new);

    // Not trusted; and not by this name.
    for (url, trusts) in [(url.clone(), false), (format!("tls://127.0.0.1:{port}"), true)] {
        let mut builder = JetStream::builder(&url);
        if trusts {
            builder = builder.root_certificates(path("certificate.pem"));
        }
        let error = builder.connect().await.unwrap_err().to_string();
        assert!(error.contains("TLS") && error.contains("root_certificates"), "{error}");
    }
    let missing = JetStream::builder(&url).root_certificates(path("missing.pem")).connect().await;
    let error = missing.unwrap_err().to_string();
    assert!(error.contains("root_certificates"), "{error}");
}
