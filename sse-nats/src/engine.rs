//! [`JetStream`]: the log of a hub's nodes in NATS.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_nats::HeaderMap;
use sse_core::{Engine, EngineError, EngineFuture, EventId, Past, Publication, Published, Tail};

#[cfg(feature = "nkeys")]
use crate::credentials::Credentials;
use crate::{
    api::{ApiError, STORE_FAILED},
    connect_error::ConnectError,
    keeper::Keeper,
    reader::LIFETIME,
    settings::{Server, Settings},
    tail,
};

/// NATS JetStream as the engine of hubs: one stream, which all nodes publish to and follow.
///
/// Reconnects by itself, for as long as it or a hub that has it lives. It is driven by the runtime that it was connected
/// in.
pub struct JetStream {
    keeper: Arc<Keeper>,
    publish_timeout: Duration,
    duplicate_window: Duration,
}

impl fmt::Debug for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let presence = self.keeper.presence.borrow();
        let server = presence.link().map(|link| link.connection.name.clone());
        f.debug_struct("JetStream").field("server", &server).finish_non_exhaustive()
    }
}

impl JetStream {
    /// Connects with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    /// [`ConnectError`], whose text names the remedy.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Settings for the servers at an address, or at several with commas between them: `nats://host:4222`,
    /// `tls://user:password@host`, `nats://token@host`. Of a cluster one is enough to learn of the others.
    ///
    /// What is `%` encoded in user, password and token is decoded.
    pub fn builder(url: &str) -> JetStreamBuilder {
        JetStreamBuilder { servers: Server::parse_all(url), settings: Settings::default() }
    }
}

/// Settings of a [`JetStream`]. Those of the streams count when these are made; streams that are there already are used as
/// they are, and a warning names the differences.
pub struct JetStreamBuilder {
    servers: Result<Vec<Server>, ConnectError>,
    settings: Settings,
}

impl fmt::Debug for JetStreamBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStreamBuilder")
            .field("servers", &self.servers)
            .field("settings", &self.settings)
            .finish()
    }
}

impl JetStreamBuilder {
    /// What the streams are named by: `sse-<name>` and, beside it, `sse-<name>-kept-…` and `sse-<name>-epochs`. All nodes
    /// of a hub have one name, and other hubs others. 1 to 32 of `[0-9A-Za-z_-]`; `hub` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// How long records stay: so long can a node have been away and miss nothing, and a client, if the hub has them too
    /// ([`HubBuilder::max_age`](sse_core::HubBuilder::max_age) and its others). One hour by default.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.settings.retention = retention;
        self
    }

    /// How many bytes of records there are at most, the oldest leaving first; JetStream sets as much of its storage aside.
    /// 1 GiB by default.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_bytes = bytes;
        self
    }

    /// How long records that are [kept](Publication::keep) stay at most; one that is to be kept longer is not published.
    /// 32 days by default. What is revoked is kept for as long as a session or a token can live, 31 days by default: where
    /// that is set longer, set this longer too.
    #[must_use]
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.settings.keep_for = time;
        self
    }

    /// How many bytes of kept records there are at most. 64 MiB by default. Where there are more the oldest leave, what was
    /// revoked among them, and the log says so; sessions of tickets are not kept from half of it on.
    #[must_use]
    pub fn max_kept_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_kept_bytes = bytes;
        self
    }

    /// On how many servers of a cluster the streams are: 1, 3 or 5. One by default, which is lost with its disk.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.settings.replicas = replicas;
        self
    }

    /// For how long keys of records are remembered. 2 minutes by default, or the retention where that is shorter; it takes
    /// memory of the server's for each record within it.
    #[must_use]
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.settings.duplicate_window = Some(window);
        self
    }

    /// How long the server may take to accept a record. 2 seconds by default.
    #[must_use]
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.settings.publish_timeout = timeout;
        self
    }

    /// A PEM file with the certificates to trust for `tls://`, instead of the system's.
    #[must_use]
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.root_certificates = Some(path.into());
        self
    }

    /// PEM files with a certificate and its key, to be shown to the server.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.settings.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// A file with a user's credentials, as `nsc` writes it (`.creds`): what the operator says of the user, and the seed
    /// that proves it. It is read anew for each connection, so it may be renewed while the process runs. In place of
    /// credentials in the address.
    #[cfg(feature = "nkeys")]
    #[must_use]
    pub fn credentials(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.credentials = Some(Credentials::File(path.into()));
        self
    }

    /// The seed of a user's nkey (`SU…`), of which the server has the public half. In place of credentials in the address
    /// or in a file.
    #[cfg(feature = "nkeys")]
    #[must_use]
    pub fn nkey_seed(mut self, seed: &str) -> Self {
        self.settings.credentials = Some(Credentials::Seed(seed.into()));
        self
    }

    /// Connects, makes the streams where there are none, and tries that this user may do what a hub does all the time.
    ///
    /// # Errors
    /// [`ConnectError`], whose text names the remedy.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(self) -> Result<JetStream, ConnectError> {
        let servers = self.servers?;
        self.settings.check()?;
        #[cfg(feature = "nkeys")]
        if self.settings.credentials.is_some() && servers.iter().any(Server::has_credentials) {
            return Err(ConnectError::setting(
                "there are credentials in the address and others beside it: take one of the two away".into(),
            ));
        }
        let publish_timeout = self.settings.publish_timeout;
        let keeper = Keeper::start(servers, self.settings).await?;
        let window = keeper.presence.borrow().link().map_or(0, |link| link.duplicate_window);
        Ok(JetStream {
            keeper: Arc::new(keeper),
            publish_timeout,
            duplicate_window: Duration::from_nanos(window),
        })
    }
}

impl Engine for JetStream {
    fn name(&self) -> &'static str {
        "NATS JetStream"
    }

    fn remembers_keys_for(&self) -> Duration {
        self.duplicate_window
    }

    fn publish(&self, publication: Publication) -> EngineFuture<'_, Result<Published, EngineError>> {
        Box::pin(self.append(publication))
    }

    fn tail(&self, past: Past) -> Tail {
        tail::follow(Arc::clone(&self.keeper), past)
    }
}

impl JetStream {
    async fn append(&self, publication: Publication) -> Result<Published, EngineError> {
        let link = {
            let presence = self.keeper.presence.borrow();
            match presence.link() {
                Some(link) => Arc::clone(link),
                None => {
                    let reason =
                        format!("there is no connection to NATS at the moment: {}", presence.reason());
                    return Err(EngineError::not_published(reason));
                }
            }
        };
        if publication.key.is_empty() || !publication.key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(EngineError::refused("the key of a record is not printable"));
        }
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, publication.key.as_str());
        let subject = match &publication.keep {
            None => link.names.record(link.base),
            Some(keep) if keep.is_optional && link.is_half_full() => link.names.record(link.base),
            Some(keep) => {
                if link.keep_for > 0 && keep.lifetime.as_nanos() > link.keep_for.into() {
                    return Err(EngineError::refused(format!(
                        "a record is to be kept for {} s, and the stream keeps them for {} s: set a longer `keep_for`",
                        keep.lifetime.as_secs(),
                        Duration::from_nanos(link.keep_for).as_secs(),
                    )));
                }
                let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
                if keep.name.is_empty() || !keep.name.bytes().all(is_name) {
                    return Err(EngineError::refused("the name that a record is to be kept under is none"));
                }
                headers.insert(LIFETIME, keep.lifetime.as_millis().to_string().as_str());
                link.names.kept(link.base, &keep.name)
            }
        };
        let ack = link.api().append(&subject, headers, publication.record, self.publish_timeout).await;
        let ack = ack.map_err(|error| {
            match error {
                ApiError::TimedOut | ApiError::Unanswerable(_) => link.missed_an_answer(),
                // The stream is gone, or its server: whoever opens the next link makes it anew.
                ApiError::NoResponders => link.connection.give_up("no stream takes records"),
                _ => {}
            }
            match error {
                // It is too large; or nobody but an operator can help.
                ApiError::TooLarge | ApiError::Denied(_) => EngineError::refused(error),
                // It was agreed upon, and the others may have stored it.
                ApiError::Refused { err_code: STORE_FAILED, .. } if link.replicas > 1 => {
                    EngineError::unknown(error)
                }
                ApiError::NoResponders | ApiError::Refused { .. } => EngineError::not_published(error),
                ApiError::TimedOut
                | ApiError::Closed(_)
                | ApiError::Malformed
                | ApiError::Unanswerable(_)
                | ApiError::UnderWay => EngineError::unknown(error),
            }
        })?;
        // That of a record which was here before may be another one than the present.
        let epoch = link.epoch_at(ack.seq).await.map_err(EngineError::unknown)?;
        Ok(Published::new(EventId::new(epoch.id, ack.seq), !ack.duplicate))
    }
}
