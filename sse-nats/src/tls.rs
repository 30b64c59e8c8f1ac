//! The cryptography of TLS, which is a feature's or the application's own.

use async_nats::rustls::crypto::CryptoProvider;

/// Whether there is any. Where the process has not chosen one, it is chosen here: with two features on in one build,
/// rustls does not choose by itself but panics.
pub(crate) fn is_possible() -> bool {
    if CryptoProvider::get_default().is_none() {
        install();
    }
    CryptoProvider::get_default().is_some()
}

#[cfg(feature = "tls")]
fn install() {
    // An error says that another thread was faster.
    let _ = async_nats::rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(not(feature = "tls"))]
fn install() {}
