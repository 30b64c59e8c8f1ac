//! What the builder gathers, and where it is reached.

use std::{fmt, path::PathBuf, time::Duration};

use async_nats::{Auth, ServerAddr};
use url::Url;

use crate::connect_error::ConnectError;

/// The longest a name may be, in bytes: it is part of streams' names and of subjects.
const MAX_NAME: usize = 32;
/// The server takes no shorter ages.
const SHORTEST: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) retention: Duration,
    pub(crate) max_bytes: u64,
    pub(crate) keep_for: Duration,
    pub(crate) max_kept_bytes: u64,
    pub(crate) replicas: usize,
    pub(crate) duplicate_window: Option<Duration>,
    pub(crate) publish_timeout: Duration,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    #[cfg(feature = "nkeys")]
    pub(crate) credentials: Option<crate::credentials::Credentials>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "hub".into(),
            retention: Duration::from_secs(60 * 60),
            max_bytes: 1 << 30,
            // What is revoked is kept for as long as sessions and tokens live, by default 31 days.
            keep_for: Duration::from_secs(32 * 24 * 60 * 60),
            max_kept_bytes: 64 << 20,
            replicas: 1,
            duplicate_window: None,
            publish_timeout: Duration::from_secs(2),
            root_certificates: None,
            client_certificate: None,
            #[cfg(feature = "nkeys")]
            credentials: None,
        }
    }
}

impl Settings {
    /// For how long keys are remembered; the server demands that it is no longer than the retention.
    pub(crate) fn duplicate_window(&self) -> Duration {
        self.duplicate_window.unwrap_or_else(|| self.retention.min(Duration::from_secs(2 * 60)))
    }

    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if self.name.is_empty() || self.name.len() > MAX_NAME || !self.name.bytes().all(is_name) {
            return Err(ConnectError::setting(format!(
                "the name of a hub's streams is 1 to {MAX_NAME} letters, digits, '-' and '_': set another `name`"
            )));
        }
        if !(1..=5).contains(&self.replicas) {
            return Err(ConnectError::setting(
                "JetStream has 1 to 5 replicas: set `replicas` to 1, 3 or 5".into(),
            ));
        }
        let window = self.duplicate_window();
        for (what, time) in
            [("retention", self.retention), ("keep_for", self.keep_for), ("duplicate_window", window)]
        {
            // The server counts nanoseconds in 63 bits.
            if time < SHORTEST || time.as_nanos() > i64::MAX as u128 {
                return Err(ConnectError::setting(format!(
                    "`{what}` is out of range: set at least 100 ms and at most 292 years"
                )));
            }
        }
        if window > self.retention {
            return Err(ConnectError::setting(
                "keys are remembered no longer than records are: make `retention` longer or `duplicate_window` shorter"
                    .into(),
            ));
        }
        for (what, bytes) in [("max_bytes", self.max_bytes), ("max_kept_bytes", self.max_kept_bytes)] {
            if bytes == 0 || bytes > i64::MAX as u64 {
                return Err(ConnectError::setting(format!(
                    "`{what}` is out of range: set at least 1 and less than 2^63"
                )));
            }
        }
        if self.publish_timeout.is_zero() {
            return Err(ConnectError::setting("`publish_timeout` is nothing: set some time".into()));
        }
        Ok(())
    }
}

/// One server, without its credentials: they are in no address that anything might log.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: ServerAddr,
    pub(crate) auth: Auth,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Server {
    /// Those of a list with commas.
    pub(crate) fn parse_all(urls: &str) -> Result<Vec<Self>, ConnectError> {
        urls.split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
            .map(Self::parse)
            .collect::<Result<_, _>>()
            .and_then(
                |servers: Vec<Self>| {
                    if servers.is_empty() { Err(ConnectError::url("it is empty")) } else { Ok(servers) }
                },
            )
    }

    fn parse(text: &str) -> Result<Self, ConnectError> {
        let text = if text.contains("://") { text.to_owned() } else { format!("nats://{text}") };
        let mut url = Url::parse(&text).map_err(|error| ConnectError::url(&error.to_string()))?;
        if !matches!(url.scheme(), "nats" | "tls") {
            return Err(ConnectError::url("its scheme is neither nats nor tls"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(ConnectError::url("it names no host"));
        }
        let decoded = |part: &str| {
            let bytes = percent_decoded(part);
            String::from_utf8(bytes).map_err(|_| ConnectError::url("its credentials are not UTF-8"))
        };
        let mut auth = Auth::new();
        match (url.username(), url.password()) {
            ("", None) => {}
            (token, None) => auth.token = Some(decoded(token)?),
            (user, Some(password)) => {
                auth.username = Some(decoded(user)?);
                auth.password = Some(decoded(password)?);
            }
        }
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return Err(ConnectError::url("it names no host"));
        }
        // Nothing but a host and a port stands in what is kept.
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
        let address =
            ServerAddr::from_url(url).map_err(|_| ConnectError::url("it is no address of a server"))?;
        Ok(Self { address, auth })
    }

    /// Another one of its cluster, as the server calls it: `host:port`.
    pub(crate) fn neighbour(&self, host_and_port: &str) -> Option<Self> {
        let url = format!("{}://{host_and_port}", self.address.scheme());
        Some(Self { address: url.parse().ok()?, auth: self.auth.clone() })
    }

    /// Whether its address has credentials.
    #[cfg(feature = "nkeys")]
    pub(crate) fn has_credentials(&self) -> bool {
        self.auth.username.is_some() || self.auth.token.is_some()
    }

    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.address.host(), self.address.port())
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |b: &u8| char::from(*b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                bytes.push(hex(high).unwrap_or_default() << 4 | hex(low).unwrap_or_default());
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_an_address() {
        let servers = Server::parse_all("nats://ada:p%40ss@one:4333, tls://t0ken@two , three").unwrap();
        assert_eq!(format!("{servers:?}"), "[one:4333, two:4222, three:4222]");
        assert_eq!(servers[0].auth.username.as_deref(), Some("ada"));
        assert_eq!(servers[0].auth.password.as_deref(), Some("p@ss"));
        assert_eq!(servers[1].auth.token.as_deref(), Some("t0ken"));
        assert!(servers[1].address.tls_required());
        for server in &servers {
            let address = format!("{:?}", server.address);
            assert!(
                !["ada", "p%40ss", "p@ss", "t0ken"].iter().any(|secret| address.contains(secret)),
                "{address}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_told_without_its_password() {
        for url in [
            "",
            ",",
            "http://ada:secret@host",
            "nats://",
            "nats://ada:secret@",
            "nats://ada:secret@host:99999",
        ] {
            let error = Server::parse_all(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(error.contains("nats://127.0.0.1:4222"), "{error}");
        }
    }

    #[test]
    fn settings_that_no_server_takes_are_told() {
        assert!(Settings::default().check().is_ok());
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check()
        };
        assert!(with(|s| s.name = "a.b".into()).is_err());
        assert!(with(|s| s.name = String::new()).is_err());
        assert!(with(|s| s.replicas = 0).is_err());
        assert!(with(|s| s.retention = Duration::ZERO).is_err());
        assert!(with(|s| s.max_bytes = 0).is_err());
        assert!(with(|s| s.duplicate_window = Some(Duration::from_secs(7200))).is_err());
        assert!(with(|s| s.retention = Duration::from_secs(1)).is_ok());
    }
}
