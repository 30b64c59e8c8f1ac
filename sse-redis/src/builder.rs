//! [`RedisBuilder`]: how much a log holds, and where.

use std::{fmt, sync::Arc, time::Duration};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};

use crate::{
    connect_error::ConnectError,
    engine::Redis,
    fitness,
    keys::Keys,
    node::Node,
    script::{Held, Script},
    server::{Server, host},
};

impl Redis {
    /// Reaches Redis at `redis://user:password@host:6379/0`, with the defaults of [`builder`](Self::builder). Of a cluster one
    /// host is enough; several are written as `redis://user:password@one:6379,other:6379`.
    ///
    /// # Errors
    /// As [`RedisBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Chooses what the log is called and how much it holds.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url)
    }
}

/// An engine to be. Begin with [`Redis::builder`].
///
/// All nodes of an application are given the same settings: the last to publish decides what is trimmed.
#[must_use]
pub struct RedisBuilder {
    url: String,
    sentinels: Vec<String>,
    cluster_nodes: Vec<String>,
    name: String,
    held: Held,
    timeout: Duration,
    #[cfg(feature = "tls")]
    root_certificate: Option<Vec<u8>>,
}

impl RedisBuilder {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            sentinels: Vec::new(),
            cluster_nodes: Vec::new(),
            name: "sse".into(),
            held: Held {
                retention: Duration::from_secs(60 * 60),
                max_records: 1_000_000,
                max_kept: 100_000,
                key_window: Duration::from_secs(120),
            },
            timeout: Duration::from_secs(2),
            #[cfg(feature = "tls")]
            root_certificate: None,
        }
    }

    /// The addresses of sentinels, as `redis://host:26379`, which are asked for the master at every connection. The host in
    /// the address of Redis is then the name that they know it by: `redis://user:password@mymaster/0`. A sentinel's own user
    /// and password, and `rediss://`, stand in its own address; it has a certificate that the system trusts.
    pub fn sentinels(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.sentinels = urls.into_iter().map(Into::into).collect();
        self
    }

    /// The addresses of more servers of a Redis Cluster, as `redis://host:6379`: whoever of them answers knows where the log
    /// is. All take the user and password in the address of Redis. That address alone is enough as long as its server is
    /// there whenever a node starts. The same as further hosts in it: `redis://user:password@one:6379,other:6379`.
    pub fn cluster_nodes(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.cluster_nodes = urls.into_iter().map(Into::into).collect();
        self
    }

    /// What the log is called, where several are in one Redis: its keys begin with `{name}:`. 1 to 64 bytes of
    /// `[0-9A-Za-z._-]`; `sse` by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// For how long records are held, by Redis' clock: so long can a node have been away and miss nothing, and a client, if
    /// the hub has them too ([`HubBuilder::max_age`](sse_core::HubBuilder::max_age) and its others). An hour by default.
    /// They are removed when others are published, some a little later.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.held.retention = retention;
        self
    }

    /// How many records are held, roughly; older ones leave earlier. A million by default, which are a quarter of a
    /// gigabyte where a record is 200 bytes.
    pub fn max_records(mut self, records: usize) -> Self {
        self.held.max_records = records;
        self
    }

    /// How many records are [kept](sse_core::Keep) for nodes that start later: revocations above all. One more is not
    /// published; sessions of tickets are, and are not kept from half of it on. 100,000 by default.
    pub fn max_kept(mut self, records: usize) -> Self {
        self.held.max_kept = records;
        self
    }

    /// For how long the key of a record is remembered, so that it is not appended twice: at least ten seconds. Two minutes
    /// by default. Each costs 200 bytes.
    pub fn key_window(mut self, window: Duration) -> Self {
        self.held.key_window = window;
        self
    }

    /// How long Redis may take for an answer, and for a connection. Two seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The certificate, in PEM, that Redis' own is signed with, in place of those that the system trusts. With the feature
    /// `tls`.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// Reaches Redis and sees whether it is fit to hold the log.
    ///
    /// # Errors
    /// [`ConnectError`] where the address is none, nothing or something else answers there, the password is wrong, Redis is
    /// older than 7, a replica, a sentinel or in a cluster that does not work, may evict the log, or does not let the user do
    /// what is needed.
    pub async fn connect(self) -> Result<Redis, ConnectError> {
        if !Keys::is_name(&self.name) {
            return Err(ConnectError::new(
                "The name of a log is 1 to 64 letters, digits, dots, hyphens and underscores; give it such a one",
            ));
        }
        if self.held.key_window < Duration::from_secs(10)
            || self.timeout.is_zero()
            || self.held.retention.is_zero()
        {
            return Err(ConnectError::new(
                "Keys are remembered for 10 seconds or more, and neither the timeout nor the retention can be zero; \
                 give longer times",
            ));
        }
        let server = self.server()?;
        let script = Script::new(Keys::new(&self.name), self.held);
        let (server, snapshot) = fitness::check(server, &script).await?;
        Ok(Redis::new(Arc::new(server), Arc::new(script), snapshot.clock))
    }

    fn server(&self) -> Result<Server, ConnectError> {
        if matches!(self.url.split(':').next(), Some("rediss" | "valkeys")) {
            ready_for_tls()?;
        }
        let (url, more) = hosts(&self.url);
        // What the parser says may repeat parts of the address.
        let info = url.as_str().into_connection_info().map_err(|_| {
            ConnectError::new(
                "The address of Redis is none; write it as redis://user:password@host:6379/0, or rediss:// for TLS, with \
                 letters that mean something in a URL as %40 and the like",
            )
        })?;
        let nodes = more.iter().chain(&self.cluster_nodes).map(|url| node(url, &info));
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        let server = Server::new(info, self.timeout);
        let server = match (self.sentinels.is_empty(), nodes.is_empty()) {
            (true, true) => server,
            (true, false) => server.in_cluster(Keys::new(&self.name).slot, nodes),
            (false, true) => server.found_by(&self.sentinels).map_err(|_| {
                ConnectError::new(
                    "The address of a sentinel is none; write it as redis://user:password@host:26379",
                )
            })?,
            (false, false) => {
                return Err(ConnectError::new(
                    "A cluster has no sentinels; give either these, with their master's name as the host, or its servers",
                ));
            }
        };
        #[cfg(feature = "tls")]
        if let Some(pem) = &self.root_certificate {
            let wrong = || {
                ConnectError::new(
                    "The root certificate for Redis is none; give it in PEM, with its first and last line",
                )
            };
            // What is no PEM at all would be no certificate, without a word.
            if !pem.windows(11).any(|part| part == b"CERTIFICATE") {
                return Err(wrong());
            }
            return server.with_root_certificate(pem.clone()).map_err(|_| wrong());
        }
        Ok(server)
    }
}

/// The address of the first host, and those of the others without what is the same for all.
fn hosts(url: &str) -> (String, Vec<String>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), Vec::new()) };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let mut hosts = hosts.split(',');
    let first = format!("{scheme}://{user}{}{path}", hosts.next().unwrap_or_default());
    (first, hosts.map(|host| format!("{scheme}://{host}")).collect())
}

/// One more of a cluster, beside the one at the address.
fn node(url: &str, first: &ConnectionInfo) -> Result<Node, ConnectError> {
    let wrong =
        || ConnectError::new("The address of a server of the cluster is none; write it as redis://host:6379");
    let info = url.into_connection_info().map_err(|_| wrong())?;
    let (own, same) = (info.redis_settings(), first.redis_settings());
    let is_own = |own: Option<&str>, same: Option<&str>| own.is_some() && own != same;
    let is_tls = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    if is_own(own.username(), same.username())
        || is_own(own.password(), same.password())
        || is_tls(&info) != is_tls(first)
    {
        return Err(ConnectError::new(
            "All servers of a cluster take the same user and password, and TLS or none; give them in the first address",
        ));
    }
    host(info.addr()).ok_or_else(wrong)
}

#[cfg(not(feature = "tls"))]
fn ready_for_tls() -> Result<(), ConnectError> {
    Err(ConnectError::new("TLS to Redis needs a feature of sse-redis: turn on `tls`"))
}

#[cfg(feature = "tls")]
fn ready_for_tls() -> Result<(), ConnectError> {
    #[cfg(feature = "tls")]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Without one there is a panic where several are compiled in. If another was faster, that one is there.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    Ok(())
}

/// Without the address, which has the password.
impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, name, held, timeout, .. } = self;
        f.debug_struct("RedisBuilder")
            .field("name", name)
            .field("held", held)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_that_is_not_built_in_is_named() {
        let error = RedisBuilder::new("rediss://user:s3cret@localhost").server().unwrap_err();
        assert!(error.to_string().contains("feature of sse-redis"), "{error}");
    }

    #[test]
    fn nothing_shows_the_password() {
        let builder = RedisBuilder::new("redis://user:s3cret@localhost");
        let server = builder.server().unwrap();
        let shown = format!("{builder:?} {server:?} {server}");
        assert!(shown.contains("localhost:6379") && !shown.contains("s3cret"), "{shown}");
        let builder =
            RedisBuilder::new("redis://user:s3cret@one,other:7000").cluster_nodes(["redis://third"]);
        let server = builder.server().unwrap();
        let shown = format!("{builder:?} {server:?} {server}");
        assert!(shown.contains("one:6379, other:7000, third:6379"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn an_address_may_have_several_hosts() {
        for (url, first, more) in [
            ("redis://a", "redis://a", &[][..]),
            ("redis://u:p@a:1,b,[::1]:3/0", "redis://u:p@a:1/0", &["redis://b", "redis://[::1]:3"]),
            ("redis://u:p,q@a,b?protocol=resp3", "redis://u:p,q@a?protocol=resp3", &["redis://b"]),
            ("redis://a,", "redis://a", &["redis://"]),
            ("nonsense,b", "nonsense,b", &[]),
            ("", "", &[]),
            ("://", "://", &[]),
        ] {
            assert_eq!(hosts(url), (first.into(), more.iter().map(ToString::to_string).collect()), "{url}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_said() {
        let error = |builder: RedisBuilder| builder.server().unwrap_err().to_string();
        let builder = || RedisBuilder::new("redis://user:s3cret@one");
        for node in ["nonsense", "redis://", "unix:///tmp/redis"] {
            let text = error(builder().cluster_nodes([node]));
            assert!(text.contains("server of the cluster is none"), "{node}: {text}");
        }
        for node in ["redis://user:0ther@two", "redis://another:s3cret@two"] {
            let text = error(builder().cluster_nodes([node]));
            assert!(text.contains("same user"), "{node}: {text}");
            assert!(!text.contains("s3cret") && !text.contains("0ther"), "{text}");
        }
        builder().cluster_nodes(["redis://two", "redis://user:s3cret@three"]).server().unwrap();
        let text = error(builder().cluster_nodes(["redis://two"]).sentinels(["redis://three"]));
        assert!(text.contains("no sentinels"), "{text}");
    }
}
