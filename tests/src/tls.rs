//! TLS for the servers of the tests: a certificate made for the occasion, and clients that trust it and nothing else.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// HTTP/2 and HTTP/1.1, as ALPN calls them.
pub const H2: &[u8] = b"h2";
/// See [`H2`].
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// A certificate for this machine's own addresses, with its key.
#[derive(Clone)]
pub struct Certificate {
    /// As PEM.
    pub certificate: String,
    /// As PEM.
    pub key: String,
}

impl Certificate {
    /// One that nobody else has.
    pub fn new() -> Self {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let certified = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Self { certificate: certified.cert.pem(), key: certified.signing_key.serialize_pem() }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate")
    }

    /// A server's side, which offers these protocols.
    pub fn server(&self, protocols: &[&[u8]]) -> ServerConfig {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions that it has")
            .with_no_client_auth()
            .with_single_cert(vec![self.der()], key)
            .expect("a pair");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// A connection to a server with this certificate, on which this protocol was agreed.
    pub async fn connect(&self, addr: SocketAddr, protocol: &[u8]) -> TlsStream<TcpStream> {
        let socket = TcpStream::connect(addr).await.expect("the server accepts");
        self.connect_over(socket, protocol).await
    }

    /// [`connect`](Self::connect) over a connection that was made already.
    pub async fn connect_over(&self, socket: TcpStream, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions that it has")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::from(socket.peer_addr().expect("a connection").ip());
        socket.set_nodelay(true).expect("an option of TCP");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        stream
    }

    /// Another HTTP client, which trusts it.
    pub fn client(&self) -> reqwest::Client {
        let certificate = reqwest::Certificate::from_pem(self.certificate.as_bytes()).expect("a certificate");
        reqwest::Client::builder().tls_certs_only([certificate]).build().expect("a client")
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

/// Without the key.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// Named, since Rocket brings another one along: with two rustls does not choose by itself but panics.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
