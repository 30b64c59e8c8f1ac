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
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, Pipeline,
    ProtocolVersion, PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::time::timeout;

use crate::{answer, trouble::Trouble};

const RESP2: ProtocolVersion = ProtocolVersion::RESP2;

/// Where the log is. What stands behind the address may change.
pub(crate) struct Server {
    info: ConnectionInfo,
    /// Whom to ask where it is; with these, the host in the address is the master's name.
    sentinels: Vec<Client>,
    #[cfg(feature = "tls")]
    root_certificate: Option<Vec<u8>>,
    patience: Duration,
}

impl Server {
    /// One at this address, that is to answer within so long.
    pub(crate) fn new(info: ConnectionInfo, patience: Duration) -> Self {
        Self {
            info,
            sentinels: Vec::new(),
            #[cfg(feature = "tls")]
            root_certificate: None,
            patience,
        }
    }

    /// The same, found by these sentinels.
    pub(crate) fn found_by(mut self, sentinels: &[String]) -> RedisResult<Self> {
        let client = |url: &String| Client::open(speaking(&url.as_str().into_connection_info()?, RESP2));
        self.sentinels = sentinels.iter().map(client).collect::<RedisResult<_>>()?;
        Ok(self)
    }

    /// The same, whose certificate is signed with this one.
    #[cfg(feature = "tls")]
    pub(crate) fn with_root_certificate(mut self, pem: Vec<u8>) -> RedisResult<Self> {
        self.root_certificate = Some(pem);
        self.client(&self.info)?;
        Ok(self)
    }

    /// How long an answer may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// A connection for reading.
    pub(crate) async fn connect(&self) -> Result<Connection, Trouble> {
        self.open(RESP2, AsyncConnectionConfig::new()).await
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
        let connection = self.open(ProtocolVersion::RESP3, config).await?;
        Ok(Connection { broken, ..connection })
    }

    async fn open(
        &self,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
    ) -> Result<Connection, Trouble> {
        let info = speaking(&self.info, protocol);
        let info = if self.sentinels.is_empty() { info } else { info.set_addr(self.master().await?) };
        // Our own timeouts are around everything, and blocking reads need longer ones.
        let config = config.set_connection_timeout(None).set_response_timeout(None);
        let client = self.client(&info)?;
        let opened = client.get_multiplexed_async_connection_with_config(&config);
        let opened = timeout(self.patience, opened).await.map_err(|_| Trouble::NoAnswer(self.patience))??;
        Ok(Connection { inner: opened, broken: Arc::default(), patience: self.patience })
    }

    fn client(&self, info: &ConnectionInfo) -> RedisResult<Client> {
        #[cfg(feature = "tls")]
        if let Some(pem) = &self.root_certificate {
            let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
            return Client::build_with_tls(info.clone(), certificates);
        }
        Client::open(info.clone())
    }

    /// Where the first sentinel that answers says that the master is.
    async fn master(&self) -> Result<ConnectionAddr, Trouble> {
        let mut trouble = Trouble::NoMaster;
        for sentinel in &self.sentinels {
            match timeout(self.patience, self.ask_sentinel(sentinel)).await {
                Ok(Ok(Some(addr))) => return Ok(addr),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => trouble = error,
                Err(_) => trouble = Trouble::NoAnswer(self.patience),
            }
        }
        Err(trouble)
    }

    async fn ask_sentinel(&self, sentinel: &Client) -> Result<Option<ConnectionAddr>, Trouble> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = sentinel.get_multiplexed_async_connection_with_config(&config).await?;
        let (ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. }) = self.info.addr()
        else {
            return Ok(None);
        };
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let found: Value = command.query_async(&mut connection).await?;
        if found == Value::Nil {
            return Ok(None);
        }
        let [host, port] = answer::exactly(found)?;
        let port = u16::try_from(answer::number(port)?).map_err(|_| Trouble::Unexpected("a port"))?;
        let host = answer::text(host)?;
        Ok(Some(match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: None }
            }
            _ => ConnectionAddr::Tcp(host, port),
        }))
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
        match self.info.addr() {
            ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. }
                if !self.sentinels.is_empty() =>
            {
                write!(f, "{name} (by sentinels)")
            }
            addr => addr.fmt(f),
        }
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
