//! Public keys out of PEM: what OpenSSL and every identity provider write, and nothing else.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pkcs1::RsaPublicKey;
use spki::{
    AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{Decode, asn1::Null},
};

use super::material::Material;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Reads one public key. Private keys and certificates are refused: neither belongs where tokens are only
/// verified.
pub(super) fn read(text: &str) -> Option<Material> {
    let (label, der) = decode(text)?;
    match label {
        "PUBLIC KEY" => public_key(&der),
        "RSA PUBLIC KEY" => rsa(&der),
        _ => None,
    }
}

/// Whatever its lines: RFC 7468 has 64 letters in each, an environment variable often all in one.
fn decode(text: &str) -> Option<(&str, Vec<u8>)> {
    let (label, rest) = text.trim().strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let (body, end) = rest.split_once("-----END ")?;
    if end.strip_suffix("-----") != Some(label) {
        return None;
    }
    let body: String = body.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(body).ok()?))
}

/// `SubjectPublicKeyInfo` ([RFC 5280 §4.1](https://www.rfc-editor.org/rfc/rfc5280#section-4.1)).
fn public_key(der: &[u8]) -> Option<Material> {
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    let key = info.subject_public_key.as_bytes()?;
    let AlgorithmIdentifierRef { oid, parameters } = info.algorithm;
    match oid {
        RSA if parameters?.decode_as::<Null>().is_ok() => rsa(key),
        EC => match parameters?.decode_as::<ObjectIdentifier>().ok()? {
            P256 => Material::p256(key),
            P384 => Material::p384(key),
            _ => None,
        },
        ED25519 if parameters.is_none() => Material::ed25519(key),
        _ => None,
    }
}

/// `RSAPublicKey` ([RFC 8017 §A.1.1](https://www.rfc-editor.org/rfc/rfc8017#appendix-A.1.1)). A private key has
/// more in it.
fn rsa(der: &[u8]) -> Option<Material> {
    let key = RsaPublicKey::from_der(der).ok()?;
    Some(Material::rsa(key.modulus.as_bytes(), key.public_exponent.as_bytes()))
}
