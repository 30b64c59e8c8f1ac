//! [`Server`]: where the log is, and [`Connection`]s to it.

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

use crate::{
    answer,
    cluster::{Cluster, Told},
    first_of::first_of,
    node::Node,
    trouble::Trouble,
};

const RESP2: ProtocolVersion = ProtocolVersion::RESP2;

/// Where the log is. What stands behind the address may change.
pub(crate) struct Server {
    info: ConnectionInfo,
    place: Place,
    #[cfg(feature = "tls")]
    root_certificate: Option<Vec<u8>>,
    patience: Duration,
}

/// How the server that has the log is found.
enum Place {
    /// It is at the address.
    Address,
    /// These sentinels are asked; the host in the address is the master's name.
    Sentinels(Vec<Client>),
    /// Others of its cluster are asked.
    Cluster(Arc<Cluster>),
}

impl Server {
    /// One at this address, that is to answer within so long.
    pub(crate) fn new(info: ConnectionInfo, patience: Duration) -> Self {
        Self {
            info,
            place: Place::Address,
            #[cfg(feature = "tls")]
            root_certificate: None,
            patience,
        }
    }

    /// The same, found by these sentinels.
    pub(crate) fn found_by(mut self, sentinels: &[String]) -> RedisResult<Self> {
        let client = |url: &String| Client::open(speaking(&url.as_str().into_connection_info()?, RESP2));
        self.place = Place::Sentinels(sentinels.iter().map(client).collect::<RedisResult<_>>()?);
        Ok(self)
    }

    /// The same as the server of this slot in a cluster, in which the one at the address is, and these.
    pub(crate) fn in_cluster(mut self, slot: u16, nodes: impl IntoIterator<Item = Node>) -> Self {
        let seeds = host(self.info.addr()).into_iter().chain(nodes).collect();
        self.place = Place::Cluster(Arc::new(Cluster::new(slot, seeds)));
        self
    }

    pub(crate) fn is_in_cluster(&self) -> bool {
        matches!(self.place, Place::Cluster(_))
    }

    pub(crate) fn is_found_by_sentinels(&self) -> bool {
        matches!(self.place, Place::Sentinels(_))
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
        match &self.place {
            Place::Address => self.dial(info, config).await,
            Place::Sentinels(sentinels) => {
                self.dial(info.set_addr(self.master(sentinels).await?), config).await
            }
            Place::Cluster(cluster) => {
                let asked = cluster.nodes().into_iter().map(|node| self.ask_node(cluster, node)).collect();
                let told: Told = first_of(asked).await?;
                cluster.learn(&told);
                let node = told.primary;
                match self.dial(info.set_addr(self.addr(&node)), config).await {
                    Ok(connection) => {
                        Ok(Connection { member: Some((Arc::clone(cluster), node)), ..connection })
                    }
                    Err(trouble) => {
                        // Who has not heard yet that it is gone.
                        cluster.doubt(&told.by);
                        cluster.doubt(&node);
                        Err(Trouble::Elsewhere(node, Box::new(trouble)))
                    }
                }
            }
        }
    }

    /// A connection to this very server.
    async fn dial(&self, info: ConnectionInfo, config: AsyncConnectionConfig) -> Result<Connection, Trouble> {
        // Our own timeouts are around everything, and blocking reads need longer ones.
        let config = config.set_connection_timeout(None).set_response_timeout(None);
        let client = self.client(&info)?;
        let opened = client.get_multiplexed_async_connection_with_config(&config);
        let opened = timeout(self.patience, opened).await.map_err(|_| Trouble::NoAnswer(self.patience))??;
        Ok(Connection { inner: opened, broken: Arc::default(), patience: self.patience, member: None })
    }

    fn client(&self, info: &ConnectionInfo) -> RedisResult<Client> {
        #[cfg(feature = "tls")]
        if let Some(pem) = &self.root_certificate {
            let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
            return Client::build_with_tls(info.clone(), certificates);
        }
        Client::open(info.clone())
    }

    /// Where this one of a cluster, or what sentinels have told, is reached.
    fn addr(&self, node: &Node) -> ConnectionAddr {
        let Node { host, port } = node.clone();
        match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: None }
            }
            _ => ConnectionAddr::Tcp(host, port),
        }
    }

    /// Where this one of a cluster says that the log is.
    async fn ask_node(&self, cluster: &Cluster, node: Node) -> Result<Told, Trouble> {
        let info = speaking(&self.info, RESP2).set_addr(self.addr(&node));
        let mut connection = self.dial(info, AsyncConnectionConfig::new()).await?;
        let slots = connection.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        cluster.told(node, slots)
    }

    /// Where the first sentinel that answers says that the master is.
    async fn master(&self, sentinels: &[Client]) -> Result<ConnectionAddr, Trouble> {
        let asked = sentinels.iter().map(|sentinel| self.ask_sentinel_in_time(sentinel)).collect();
        Ok(self.addr(&first_of(asked).await?))
    }

    async fn ask_sentinel_in_time(&self, sentinel: &Client) -> Result<Node, Trouble> {
        let answer = timeout(self.patience, self.ask_sentinel(sentinel)).await;
        answer.map_err(|_| Trouble::NoAnswer(self.patience))?
    }

    async fn ask_sentinel(&self, sentinel: &Client) -> Result<Node, Trouble> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = sentinel.get_multiplexed_async_connection_with_config(&config).await?;
        let name = host(self.info.addr()).ok_or(Trouble::NoMaster)?.host;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let found: Value = command.query_async(&mut connection).await?;
        if found == Value::Nil {
            return Err(Trouble::NoMaster);
        }
        let [host, port] = answer::exactly(found)?;
        let port = u16::try_from(answer::number(port)?).map_err(|_| Trouble::Unexpected("a port"))?;
        Ok(Node { host: answer::text(host)?, port })
    }
}

/// None for a socket in the file system.
pub(crate) fn host(addr: &ConnectionAddr) -> Option<Node> {
    match addr {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some(Node { host: host.clone(), port: *port })
        }
        _ => None,
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
        match (&self.place, host(self.info.addr())) {
            (Place::Sentinels(_), Some(name)) => write!(f, "{} (by sentinels)", name.host),
            (Place::Cluster(cluster), _) => {
                let seeds = cluster.seeds().iter().map(ToString::to_string).collect::<Vec<_>>();
                write!(f, "{} (a cluster)", seeds.join(", "))
            }
            _ => self.info.addr().fmt(f),
        }
    }
}

/// A connection, shared by its clones. It does not come back when it has broken.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    broken: Arc<AtomicBool>,
    patience: Duration,
    /// Of which cluster it leads to which server.
    member: Option<(Arc<Cluster>, Node)>,
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
        let patience = self.patience.saturating_add(block);
        let answer = timeout(patience, command.query_async(&mut self.inner)).await;
        self.heard(answer.map_err(|_| Trouble::NoAnswer(patience)))
    }

    /// What it answers to several, in one round trip.
    pub(crate) async fn ask_all(&mut self, commands: &Pipeline) -> Result<Vec<Value>, Trouble> {
        let answer = timeout(self.patience, commands.query_async(&mut self.inner)).await;
        self.heard(answer.map_err(|_| Trouble::NoAnswer(self.patience)))
    }

    fn heard<T>(&self, answer: Result<RedisResult<T>, Trouble>) -> Result<T, Trouble> {
        let answer = answer.and_then(|answer| Ok(answer?));
        if let (Err(trouble), Some((cluster, node))) = (&answer, &self.member)
            && trouble.ends_connection()
            // One that says where the log has gone knows more than others.
            && !trouble.is_moved()
        {
            cluster.doubt(node);
        }
        answer
    }

    /// The server of a cluster that it leads to.
    pub(crate) fn node(&self) -> Option<&Node> {
        self.member.as_ref().map(|(_, node)| node)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_broken", &self.is_broken()).finish_non_exhaustive()
    }
}
