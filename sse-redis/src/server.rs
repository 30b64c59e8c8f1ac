//! [`Server`]: an address, and [`Connection`]s to it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, Pipeline, ProtocolVersion, PushInfo, PushKind,
    RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::time::timeout;

use crate::trouble::Trouble;

/// Where the log is. What stands behind the address may change.
pub(crate) struct Server {
    /// For reading.
    plain: Client,
    /// For publishing: its connections tell when they break.
    telling: Client,
    patience: Duration,
}

impl Server {
    /// One at this address, that is to answer within so long.
    pub(crate) fn new(info: &ConnectionInfo, patience: Duration) -> RedisResult<Self> {
        Ok(Self {
            plain: Client::open(speaking(info, ProtocolVersion::RESP2))?,
            telling: Client::open(speaking(info, ProtocolVersion::RESP3))?,
            patience,
        })
    }

    /// One whose certificate is signed with this one.
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    pub(crate) fn with_root_certificate(
        info: &ConnectionInfo,
        pem: &[u8],
        patience: Duration,
    ) -> RedisResult<Self> {
        let client = |protocol| {
            let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(pem.into()) };
            Client::build_with_tls(speaking(info, protocol), certificates)
        };
        Ok(Self {
            plain: client(ProtocolVersion::RESP2)?,
            telling: client(ProtocolVersion::RESP3)?,
            patience,
        })
    }

    /// How long an answer may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// A connection for reading.
    pub(crate) async fn connect(&self) -> Result<Connection, Trouble> {
        self.open(&self.plain, AsyncConnectionConfig::new()).await
    }

    /// A connection that knows when it has broken, whether or not anything is sent over it.
    pub(crate) async fn connect_telling(&self) -> Result<Connection, Trouble> {
        let broken = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&broken);
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                told.store(true, Ordering::Release);
            }
            Ok::<_, ()>(())
        });
        let connection = self.open(&self.telling, config).await?;
        Ok(Connection { broken, ..connection })
    }

    async fn open(&self, client: &Client, config: AsyncConnectionConfig) -> Result<Connection, Trouble> {
        // Our own are around everything, and blocking reads need longer ones.
        let config = config.set_connection_timeout(None).set_response_timeout(None);
        let opened = client.get_multiplexed_async_connection_with_config(&config);
        let opened = timeout(self.patience, opened).await.map_err(|_| Trouble::NoAnswer(self.patience))??;
        Ok(Connection { inner: opened, broken: Arc::default(), patience: self.patience })
    }
}

fn speaking(info: &ConnectionInfo, protocol: ProtocolVersion) -> ConnectionInfo {
    let settings = info.redis_settings().clone().set_protocol(protocol);
    let settings = settings.set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    info.clone().set_redis_settings(settings)
}

/// Without its credentials.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.to_string()).finish()
    }
}

/// Its host and port.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plain.get_connection_info().addr().fmt(f)
    }
}

/// A connection, shared by its clones. It does not come back when it has broken.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    broken: Arc<AtomicBool>,
    patience: Duration,
}

impl Connection {
    /// Whether it is known to have broken.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// What the server answers to a command.
    pub(crate) async fn ask(&mut self, command: &Cmd) -> Result<Value, Trouble> {
        self.ask_blocking(command, Duration::ZERO).await
    }

    /// The same for a command that may block for so long.
    pub(crate) async fn ask_blocking(&mut self, command: &Cmd, block: Duration) -> Result<Value, Trouble> {
        let patience = self.patience + block;
        let answer = timeout(patience, command.query_async(&mut self.inner)).await;
        Ok(answer.map_err(|_| Trouble::NoAnswer(patience))??)
    }

    /// What it answers to several, in one round trip.
    pub(crate) async fn ask_all(&mut self, commands: &Pipeline) -> Result<Vec<Value>, Trouble> {
        let answer = timeout(self.patience, commands.query_async(&mut self.inner)).await;
        Ok(answer.map_err(|_| Trouble::NoAnswer(self.patience))??)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_broken", &self.is_broken()).finish_non_exhaustive()
    }
}
