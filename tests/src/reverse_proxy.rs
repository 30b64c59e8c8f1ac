//! nginx, Caddy and HAProxy in front of a server, with the configuration that `docs/proxies.md` gives.

use std::{
    fmt,
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};

use crate::{
    addrs::{free_addr, free_addrs},
    left_out, program,
};

/// The page whose blocks are what the tests run.
const PAGE: &str = include_str!("../../docs/proxies.md");

/// The page that has one for several nodes.
const NODES: &str = include_str!("../../docs/nodes.md");

/// The host name in that page.
const HOST: &str = "app.example";

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends the proxy when standard input is closed, which the kernel does even when the test process is killed, and
/// removes its folder.
const SUPERVISOR: &str = r#"
folder=$1
shift
"$@" </dev/null &
read -r _
kill -KILL $!
wait
rm -rf "$folder"
"#;

/// A proxy of Debian's packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// nginx
    Nginx,
    /// Caddy
    Caddy,
    /// HAProxy
    Haproxy,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Caddy, Self::Haproxy];

    /// The name of its package, which is that of its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
        }
    }

    /// Whether it is installed. What is not is named on standard error, once.
    ///
    /// # Panics
    ///
    /// When one is missing although `SSE_TESTS_REQUIRE_ALL` is `1`.
    pub fn is_available(self) -> bool {
        let missing: Vec<String> = Self::ALL
            .into_iter()
            .filter(|program| program.path().is_none())
            .map(|program| format!("{program}: it is not installed (or set {})", program.variable()))
            .collect();
        left_out("proxies", &missing);
        self.path().is_some()
    }

    fn variable(self) -> String {
        self.name().to_ascii_uppercase()
    }

    fn path(self) -> Option<PathBuf> {
        let name = self.name();
        // On Debian only root has /usr/sbin on the path.
        program(&self.variable(), &[name, &format!("/usr/sbin/{name}")])
    }

    /// The block of the page, for these addresses.
    fn configuration(self, site: &Site<'_>) -> String {
        let block = block(PAGE, self.name());
        let (plain, secure, upstream) = (site.plain, site.secure, site.upstream.to_string());
        let folder = site.folder.display();
        let gzip = if site.setting == Setting::Gzip { self.gzip() } else { "" };
        match self {
            Self::Nginx => {
                let server = replaced(
                    &block,
                    &[
                        ("listen 80;", &format!("listen {plain};")),
                        ("listen 443 ", &format!("listen {secure} ")),
                        ("/etc/ssl/", &format!("{folder}/")),
                        ("127.0.0.1:8080", &upstream),
                    ],
                );
                nginx(site.folder, &format!("{gzip}{server}"))
            }
            Self::Caddy => {
                let of = |scheme: &str, tls: &str| {
                    let opening = format!("{scheme}://{HOST} {{\nbind {}\n{tls}{gzip}", plain.ip());
                    replaced(&block, &[(&format!("{HOST} {{\n"), &opening), ("127.0.0.1:8080", &upstream)])
                };
                let certificate = format!("tls {folder}/{HOST}.pem {folder}/{HOST}.key\n");
                let sites = of("http", "") + &of("https", &certificate);
                let (http, https) = (plain.port(), secure.port());
                format!("{{\nadmin off\nhttp_port {http}\nhttps_port {https}\n}}\n{sites}")
            }
            Self::Haproxy => {
                let mut block = replaced(
                    &block,
                    &[
                        ("bind :80\n", &format!("bind {plain}\n")),
                        ("bind :443 ", &format!("bind {secure} ")),
                        ("/etc/haproxy/", &format!("{folder}/")),
                        ("127.0.0.1:8080", &upstream),
                        ("mode http\n", &format!("mode http\n{gzip}")),
                    ],
                );
                if site.setting == Setting::Delay {
                    block = replaced(&block, &[("option http-no-delay\n", "\n")]);
                }
                format!("global\nmaxconn 1000\nnoreuseport\n\n{block}")
            }
        }
    }

    /// What has it compress everything that it would ever compress, event streams named.
    fn gzip(self) -> &'static str {
        match self {
            Self::Nginx => "gzip on;\ngzip_types *;\ngzip_proxied any;\ngzip_min_length 0;\n",
            Self::Caddy => "encode gzip\n",
            Self::Haproxy => "compression algo gzip\ncompression type text/event-stream text/plain\n",
        }
    }

    fn arguments(self, configuration: &Path) -> Vec<String> {
        let file = configuration.display().to_string();
        match self {
            Self::Nginx => vec!["-e".into(), "stderr".into(), "-c".into(), file],
            Self::Caddy => {
                vec!["run".into(), "--adapter".into(), "caddyfile".into(), "--config".into(), file]
            }
            Self::Haproxy => vec!["-db".into(), "-f".into(), file],
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// nginx's configuration with this part for HTTP.
fn nginx(folder: &Path, http: &str) -> String {
    let folder = folder.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
        .concat();
    // One process, which ends as one.
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n\
         http {{\naccess_log off;\n{paths}{http}}}\n"
    )
}

/// How a proxy is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// As in `docs/proxies.md`.
    Page,
    /// So, and compressing whatever it can.
    Gzip,
    /// HAProxy without `option http-no-delay`.
    Delay,
}

struct Site<'a> {
    setting: Setting,
    plain: SocketAddr,
    secure: SocketAddr,
    upstream: SocketAddr,
    folder: &'a Path,
}

/// The first block in this language of a page.
fn block(page: &str, language: &str) -> String {
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block for this proxy");
    let (block, _) = rest.split_once("```").expect("the end of the block");
    block.to_owned()
}

/// Each part replaced where it stands. The page must have all of them.
fn replaced(text: &str, parts: &[(&str, &str)]) -> String {
    parts.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "the page has no {old:?}");
        text.replace(old, new)
    })
}

/// A running proxy; ended when dropped.
#[derive(Debug)]
pub struct ReverseProxy {
    supervisor: Child,
    // Closing it tells the supervisor to end the proxy.
    stdin: Option<ChildStdin>,
    plain: SocketAddr,
    secure: SocketAddr,
    certificate: String,
    // Holds its configuration and what it prints.
    _folder: TempDir,
}

impl ReverseProxy {
    /// Starts a proxy in front of `upstream`, with a certificate of its own.
    pub async fn start(program: Program, setting: Setting, upstream: SocketAddr) -> Self {
        let folder = folder();
        let identity = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
        let (certificate, key) = (identity.cert.pem(), identity.signing_key.serialize_pem());
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        write(&format!("{HOST}.pem"), &certificate);
        write(&format!("{HOST}.key"), &key);
        // HAProxy wants both in one file.
        write(&format!("{HOST}.both.pem"), &format!("{certificate}{key}"));
        let [plain, secure] = free_addrs();
        let site = Site { setting, plain, secure, upstream, folder: folder.path() };
        let configuration = program.configuration(&site);
        Self::run(program, &configuration, [plain, secure], certificate, folder).await
    }

    /// Starts nginx in front of two nodes, as `docs/nodes.md` has it, without TLS.
    pub async fn between(nodes: [SocketAddr; 2]) -> Self {
        let folder = folder();
        // By the name that browsers and the examples know.
        let mut plain = free_addr();
        plain.set_ip(Ipv4Addr::LOCALHOST.into());
        let server = replaced(
            &block(NODES, "nginx"),
            &[
                ("listen 8000;", &format!("listen {plain};")),
                ("127.0.0.1:8080", &nodes[0].to_string()),
                ("127.0.0.1:8081", &nodes[1].to_string()),
            ],
        );
        let configuration = nginx(folder.path(), &server);
        Self::run(Program::Nginx, &configuration, [plain; 2], String::new(), folder).await
    }

    /// Where it listens without TLS.
    pub fn addr(&self) -> SocketAddr {
        self.plain
    }

    async fn run(
        program: Program,
        configuration: &str,
        [plain, secure]: [SocketAddr; 2],
        certificate: String,
        folder: TempDir,
    ) -> Self {
        use std::os::unix::process::CommandExt as _;

        let file = folder.path().join("configuration");
        std::fs::write(&file, configuration).expect("a file");
        let log = folder.path().join("log");
        let out = File::create(&log).expect("a file");
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(folder.path())
            .arg(program.path().expect("an installed program"))
            .args(program.arguments(&file))
            // Where Caddy keeps what it has no need of here.
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a file"))
            .stderr(out)
            // Ctrl-C must not end the supervisor before it has ended the proxy.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let stdin = supervisor.stdin.take();
        let proxy = Self { supervisor, stdin, plain, secure, certificate, _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        for addr in [plain, secure] {
            while TcpStream::connect(addr).await.is_err() {
                let printed = || std::fs::read_to_string(&log).unwrap_or_default();
                assert!(Instant::now() < deadline, "{program} does not listen: {}", printed());
                sleep(Duration::from_millis(10)).await;
            }
        }
        proxy
    }

    /// A client that speaks HTTP/1.1.
    pub fn http_1(&self) -> Client {
        self.http_1_from(Ipv4Addr::LOCALHOST.into())
    }

    /// A client that speaks HTTP/2 over TLS, as browsers do.
    pub fn http_2(&self) -> Client {
        self.http_2_from(Ipv4Addr::LOCALHOST.into())
    }

    /// [`http_1`](Self::http_1) with an address of its own.
    pub fn http_1_from(&self, address: IpAddr) -> Client {
        let client = builder(self.plain).local_address(address).http1_only().build().expect("a client");
        let base = format!("http://{HOST}:{}", self.plain.port());
        Client { client, base, version: reqwest::Version::HTTP_11 }
    }

    /// [`http_2`](Self::http_2) with an address of its own.
    pub fn http_2_from(&self, address: IpAddr) -> Client {
        let certificate = reqwest::Certificate::from_pem(self.certificate.as_bytes()).expect("a certificate");
        let builder = builder(self.secure).local_address(address);
        let client = builder.tls_certs_only([certificate]).build().expect("a client");
        let base = format!("https://{HOST}:{}", self.secure.port());
        Client { client, base, version: reqwest::Version::HTTP_2 }
    }
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It kills the proxy and waits for it.
        let _ = self.supervisor.wait();
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("sse-tests-proxy-").tempdir().expect("a folder")
}

fn builder(addr: SocketAddr) -> reqwest::ClientBuilder {
    // It asks for encodings, but does not decode: the tests see what was sent.
    reqwest::Client::builder()
        .no_proxy()
        .resolve(HOST, addr)
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .tcp_nodelay(true)
}

/// A client of a proxy.
#[derive(Debug)]
pub struct Client {
    client: reqwest::Client,
    base: String,
    /// The version of HTTP that it speaks.
    pub version: reqwest::Version,
}

impl Client {
    /// Asks with these header fields, and returns the answer as it is.
    pub async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.base));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = tokio::time::timeout(PATIENCE, request.send());
        answer.await.expect("the head comes in time").expect("an answer")
    }

    /// Opens a stream, from an id on if there is one, and checks its head: it must not be encoded.
    pub async fn open(&self, path: &str, last_event_id: Option<&str>) -> Stream {
        let mut request =
            self.client.get(format!("{}{path}", self.base)).header(ACCEPT_ENCODING, "gzip, deflate, br");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = tokio::time::timeout(PATIENCE, request.send());
        let answer = answer.await.expect("the head comes in time").expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.version(), self.version);
        for value in answer.headers().get_all(CONTENT_ENCODING) {
            assert_eq!(value, "identity");
        }
        Stream(answer)
    }
}

/// An open stream behind a proxy.
#[derive(Debug)]
pub struct Stream(reqwest::Response);

impl Stream {
    /// Reads on until what was read meets the condition, and returns it.
    pub async fn until(&mut self, condition: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        while !condition(&text) {
            let chunk = tokio::time::timeout(PATIENCE, self.0.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("only {} bytes came: {:.200?}", text.len(), text));
            let chunk = chunk.expect("the body is whole").expect("the stream goes on");
            text.push_str(std::str::from_utf8(&chunk).expect("a body in UTF-8, in whole letters"));
        }
        text
    }
}
