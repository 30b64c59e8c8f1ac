//! [`Credentials`]: a key by which a user proves who it is, beside what stands in the address.

use std::{fmt, path::PathBuf, sync::Arc};

use async_nats::{Auth, AuthError};
use nkeys::KeyPair;
use tokio::{fs::File, io::AsyncReadExt as _};

use crate::connect_error::ConnectError;

/// No file of credentials is nearly as large.
const MAX_FILE: u64 = 256 * 1024;

/// Where the key is.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// In a file with what an operator says of its user.
    File(PathBuf),
    /// Here; the server knows the other half of it.
    Seed(Arc<str>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Seed(_) => f.write_str("Seed"),
        }
    }
}

impl Credentials {
    /// As they are now: whoever renews a file need not start the process anew.
    pub(crate) async fn load(&self) -> Result<Proof, ConnectError> {
        let (jwt, seed) = match self {
            Self::Seed(seed) => (None, seed.trim().to_owned()),
            Self::File(path) => {
                let fail = |why: &str| {
                    ConnectError::new(format!(
                        "the file of credentials {} {why}: make one for this user, as `nsc generate creds` does",
                        path.display()
                    ))
                };
                let text = async {
                    let mut text = String::new();
                    File::open(path).await?.take(MAX_FILE).read_to_string(&mut text).await?;
                    std::io::Result::Ok(text)
                };
                let text = text.await.map_err(|error| fail(&format!("is not read ({error})")))?;
                let jwt = block(&text, "JWT").ok_or_else(|| fail("has no JWT"))?;
                let seed = block(&text, "SEED").ok_or_else(|| fail("has no seed"))?;
                if KeyPair::from_seed(seed).is_err() {
                    return Err(fail("has a seed that is none"));
                }
                (Some(jwt.to_owned()), seed.to_owned())
            }
        };
        let key = KeyPair::from_seed(&seed).ok().filter(|key| key.public_key().starts_with('U'));
        let key = key.ok_or_else(|| {
            ConnectError::new(
                "the seed is not that of a user: give one that begins with SU, whole and unchanged",
            )
        })?;
        Ok(Proof { jwt, key: Arc::new(key) })
    }
}

/// A block between lines of dashes.
fn block<'a>(text: &'a str, what: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(what))?;
    let line = lines.find(|line| !line.is_empty())?;
    let is_text = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'=');
    (!line.starts_with("---") && line.bytes().all(is_text)).then_some(line)
}

/// Signs what a server asks to be signed.
#[derive(Clone)]
pub(crate) struct Proof {
    jwt: Option<String>,
    key: Arc<KeyPair>,
}

impl Proof {
    pub(crate) fn answer(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        // No words of the library's about keys.
        let signature = self.key.sign(nonce).map_err(|_| AuthError::new("its key does not sign"));
        auth.signature = Some(signature?);
        match &self.jwt {
            Some(jwt) => auth.jwt = Some(jwt.clone()),
            None => auth.nkey = Some(self.key.public_key()),
        }
        Ok(auth)
    }

    /// The public half of it.
    pub(crate) fn user(&self) -> String {
        self.key.public_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_seed_is_told_without_it() {
        let account = KeyPair::new_account().seed().unwrap();
        for seed in ["", "secret", "SUAsecret", &account] {
            let credentials = Credentials::Seed(seed.into());
            assert_eq!(format!("{credentials:?}"), "Seed");
            let error = credentials.load().await.err().unwrap().to_string();
            assert!(error.contains(": give one that begins with SU"), "{error}");
            assert!(seed.is_empty() || !error.contains(seed), "{error}");
        }
        let user = KeyPair::new_user();
        let proof = Credentials::Seed(format!(" {}\n", user.seed().unwrap()).into()).load().await.unwrap();
        assert_eq!(proof.user(), user.public_key());
        let auth = proof.answer(b"nonce").unwrap();
        assert_eq!(auth.nkey, Some(user.public_key()));
        user.verify(b"nonce", &auth.signature.unwrap()).unwrap();
    }

    #[test]
    fn blocks_are_found_however_lines_end() {
        for end in ["\n", "\r\n"] {
            let text = [
                "-----BEGIN NATS USER JWT-----",
                "eyJ0.eyJq.c2ln_-A",
                "------END NATS USER JWT------",
                "",
                "*** IMPORTANT ***",
                "NKEY Seed printed below",
                "-----BEGIN USER NKEY SEED-----",
                "SUABC",
                "------END USER NKEY SEED------",
            ]
            .join(end);
            assert_eq!(block(&text, "JWT"), Some("eyJ0.eyJq.c2ln_-A"));
            assert_eq!(block(&text, "SEED"), Some("SUABC"));
        }
        for text in ["", "SUABC", "-----BEGIN SEED-----", "-----BEGIN SEED-----\n------END SEED------\nSUABC"]
        {
            assert_eq!(block(text, "SEED"), None, "{text:?}");
        }
        assert_eq!(block("-----BEGIN SEED-----\nä\n", "SEED"), None);
    }
}
