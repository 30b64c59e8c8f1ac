//! One connection to one server, which is used until it breaks and never again.
//!
//! The client would reconnect by itself and then send whatever had been handed to it meanwhile: records whose publisher
//! was told minutes ago that they may be lost, to a log that nobody has looked at yet. So it is kept from that, and what
//! was not sent dies with its connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{AuthError, ConnectErrorKind, ConnectOptions, Event, ServerError, ServerInfo};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use crate::{
    api::Api,
    connect_error::ConnectError,
    denials::{Denials, denied_operation},
    settings::{Server, Settings},
    tls,
};

/// Until the server has let us in.
const PATIENCE: Duration = Duration::from_secs(5);
/// The client gives a connection up when it has missed three of these.
const PING: Duration = Duration::from_secs(2);
/// The longest first line of a server's that is read.
const MAX_HELLO: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    /// The server, without credentials.
    pub(crate) name: String,
    pub(crate) api: Api,
    pub(crate) info: ServerInfo,
    /// Why it is over.
    over: watch::Sender<Option<String>>,
}

impl Connection {
    pub(crate) async fn open(server: &Server, settings: &Settings) -> Result<Self, ConnectError> {
        let name = server.name();
        if !tls::is_possible() && (server.address.tls_required() || asks_for_tls(server).await) {
            return Err(ConnectError::new(format!(
                "the NATS server at {name} is to be reached over TLS: turn on the feature `tls` of sse-nats"
            )));
        }
        #[cfg(feature = "nkeys")]
        let proof = match &settings.credentials {
            Some(credentials) => Some(credentials.load().await?),
            None => None,
        };
        #[cfg(feature = "nkeys")]
        let user = proof.as_ref().map(crate::credentials::Proof::user);
        #[cfg(not(feature = "nkeys"))]
        let user: Option<String> = None;
        let over = watch::Sender::new(None);
        let denials = watch::Sender::new(Denials::default());
        let noted = denials.clone();
        let is_open = Arc::new(AtomicBool::new(false));
        let (auth, was_open) = (server.auth.clone(), Arc::clone(&is_open));
        let over_too = over.clone();
        #[cfg_attr(not(feature = "nkeys"), expect(unused_variables, reason = "nothing is signed"))]
        let mut options = ConnectOptions::with_auth_callback(move |nonce| {
            #[cfg(feature = "nkeys")]
            let auth = proof.as_ref().map_or_else(|| Ok(auth.clone()), |proof| proof.answer(&nonce));
            #[cfg(not(feature = "nkeys"))]
            let auth = Ok(auth.clone());
            // Later it tries to reconnect.
            let is_used = was_open.load(Ordering::SeqCst);
            let auth = if is_used { Err(AuthError::new("this connection is not used again")) } else { auth };
            std::future::ready(auth)
        })
        .name("sse-nats")
        .max_reconnects(1)
        .ignore_discovered_servers()
        .connection_timeout(PATIENCE)
        .ping_interval(PING)
        .client_capacity(256)
        .subscription_capacity(1024)
        .event_callback(move |event| {
            match event {
                Event::Disconnected | Event::Closed => end(&over_too, "it was cut"),
                Event::ServerError(ServerError::AuthorizationViolation) => {
                    end(&over_too, "the server does not accept these credentials any more");
                }
                Event::ServerError(ServerError::Other(line)) => match denied_operation(&line) {
                    Some(operation) => noted.send_modify(|denials| denials.note(operation)),
                    // Whatever else it says, it closes the connection afterwards: `Stale Connection`.
                    None => end(&over_too, &format!("the server says: {}", line.trim_matches('\''))),
                },
                _ => {}
            }
            std::future::ready(())
        });
        if let Some(path) = &settings.root_certificates {
            options = options.add_root_certificates(path.clone());
        }
        if let Some((certificate, key)) = &settings.client_certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        let client = options.connect(server.address.clone()).await;
        let client = client.map_err(|error| refused(&name, user.as_deref(), &error))?;
        is_open.store(true, Ordering::SeqCst);
        let info = client.server_info();
        if !client.is_server_compatible(2, 9, 0) {
            return Err(ConnectError::new(format!(
                "the NATS server at {name} is version {}: upgrade it to 2.9 or newer",
                info.version
            )));
        }
        Ok(Self { name, api: Api::new(client, denials), info, over })
    }

    /// Ends it for everybody, for a reason.
    pub(crate) fn give_up(&self, reason: &str) {
        end(&self.over, reason);
    }

    pub(crate) fn why_over(&self) -> Option<String> {
        self.over.borrow().clone()
    }

    /// Resolves when it is over.
    pub(crate) async fn over(&self) -> String {
        let mut over = self.over.subscribe();
        match over.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // Not while this is borrowed.
            Err(_) => String::new(),
        }
    }
}

fn end(over: &watch::Sender<Option<String>>, reason: &str) {
    over.send_if_modified(|over| {
        let is_first = over.is_none();
        over.get_or_insert_with(|| reason.to_owned());
        is_first
    });
}

fn refused(server: &str, user: Option<&str>, error: &async_nats::ConnectError) -> ConnectError {
    // The sources of these hold no credentials: the address has none.
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let source = source.lines().next().unwrap_or_default();
    // Some of TLS is told as I/O.
    let is_about_tls = ["certificate", "fatal alert", "TLS"].iter().any(|word| source.contains(word));
    let is_about_credentials =
        matches!(error.kind(), ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication)
            || source.to_ascii_lowercase().contains("authentication");
    ConnectError::new(match error.kind() {
        _ if is_about_credentials && user.is_some() => format!(
            "the NATS server at {server} does not let in the user {}: add this key to its users, or renew the file of \
             credentials",
            user.unwrap_or_default()
        ),
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => format!(
            "the NATS server at {server} does not accept these credentials: correct user, password or token in the address"
        ),
        kind if kind == ConnectErrorKind::Tls || is_about_tls => format!(
            "there is no TLS with the NATS server at {server} ({source}): check `root_certificates` and the name in its \
             certificate"
        ),
        ConnectErrorKind::Dns => {
            format!("the host of the NATS server at {server} is not known ({source}): correct its name")
        }
        ConnectErrorKind::TimedOut => format!(
            "nothing at {server} speaks like a NATS server: correct host and port, or look whether the server hangs"
        ),
        _ if source.contains("expected INFO") || source.contains("invalid server operation") => {
            format!("nothing at {server} speaks like a NATS server: correct host and port ({source})")
        }
        _ if source.to_ascii_lowercase().contains("authentication") => format!(
            "the NATS server at {server} does not accept these credentials ({source}): correct them in the address"
        ),
        _ => format!(
            "no NATS server is reached at {server} ({source}): start it there, or correct host and port"
        ),
    })
}

/// Whether the server's first line demands TLS. The client would try it, and panics without cryptography.
async fn asks_for_tls(server: &Server) -> bool {
    let hello = async {
        let stream = TcpStream::connect((server.address.host(), server.address.port())).await.ok()?;
        let mut line = String::new();
        BufReader::new(stream.take(MAX_HELLO)).read_line(&mut line).await.ok()?;
        let info: serde_json::Value = serde_json::from_str(line.strip_prefix("INFO ")?).ok()?;
        info["tls_required"].as_bool()
    };
    timeout(PATIENCE, hello).await.ok().flatten().unwrap_or(false)
}
