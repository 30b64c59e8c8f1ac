//! Public keys out of PEM: what OpenSSL and every identity provider write, and nothing else.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::material::Material;

/// `SubjectPublicKeyInfo` of an uncompressed P-256 point, up to the point
/// ([RFC 5480](https://www.rfc-editor.org/rfc/rfc5480)).
const P256: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\
\x03\x42\x00";

/// The same of P-384.
const P384: &[u8] =
    b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";

/// The same of an Ed25519 key ([RFC 8410](https://www.rfc-editor.org/rfc/rfc8410)).
const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// `rsaEncryption` with its NULL.
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

/// Reads one public key. Private keys and certificates are refused: neither belongs where tokens are only
/// verified.
pub(super) fn read(pem: &str) -> Option<Material> {
    let (label, der) = decode(pem)?;
    match label {
        "PUBLIC KEY" => spki(&der),
        "RSA PUBLIC KEY" => rsa(&der),
        _ => None,
    }
}

fn decode(pem: &str) -> Option<(&str, Vec<u8>)> {
    let (label, rest) = pem.trim().strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let (body, end) = rest.split_once("-----END ")?;
    if end.strip_suffix("-----") != Some(label) {
        return None;
    }
    let body: String = body.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(body).ok()?))
}

fn spki(der: &[u8]) -> Option<Material> {
    if let Some(point) = der.strip_prefix(P256) {
        return Material::p256(point);
    }
    if let Some(point) = der.strip_prefix(P384) {
        return Material::p384(point);
    }
    if let Some(key) = der.strip_prefix(ED25519) {
        return Material::ed25519(key);
    }
    let (info, rest) = element(der, 0x30)?;
    let (algorithm, key) = element(info, 0x30)?;
    let (bits, after) = element(key, 0x03)?;
    if algorithm != RSA || !rest.is_empty() || !after.is_empty() {
        return None;
    }
    rsa(bits.strip_prefix(b"\0")?)
}

/// `RSAPublicKey`: two numbers. A private key has more.
fn rsa(der: &[u8]) -> Option<Material> {
    let (numbers, rest) = element(der, 0x30)?;
    let (n, exponent) = element(numbers, 0x02)?;
    let (e, after) = element(exponent, 0x02)?;
    (rest.is_empty() && after.is_empty()).then(|| Material::rsa(n, e))
}

/// The content of the DER element at the start, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&[len], rest) = rest.split_first_chunk()?;
            (usize::from(len), rest)
        }
        0x82 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(len)).flatten()
}
