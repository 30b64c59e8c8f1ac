//! [`ListenOptions`]: a listening socket whose connections hold little for a client that does not read, and are given up
//! when it is gone.

#[cfg(feature = "found-listener")]
mod found;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Within what a time may be: Linux takes no longer one for its keep-alive.
const TIMES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(32_767));

/// How a server's TCP socket listens, and what its connections have of it.
///
/// Frameworks bind a socket with the system's defaults. With those a client that reads nothing has the kernel hold
/// 3.9 MB for it, which no figure of the process shows; and one that vanished without a word, or reads nothing, is given
/// up after some 16 minutes only. These options are set on the listening socket, whose connections inherit them:
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::time::Duration;
///
/// use sse_core::ListenOptions;
///
/// let listener = ListenOptions::new().user_timeout(Duration::from_secs(60)).bind("127.0.0.1:0")?;
/// # let _ = listener;
/// # Ok(())
/// # }
/// ```
///
/// They hold for every route on that socket. The one to think of is [`user_timeout`](Self::user_timeout): a download that
/// is paused for longer than that is cut.
///
/// # Systems
///
/// All of it exists on Linux and Android, where it is tested. Elsewhere the backlog, [`no_delay`](Self::no_delay) and
/// [`tcp_keep_alive`](Self::tcp_keep_alive) are set and the other two are left out: no user timeout, so a client that
/// acknowledges and reads nothing stays as long as it likes, and no bound of what the kernel holds for it but its own
/// (macOS and the BSDs: `net.inet.tcp.sendbuf_max`). Whether a connection inherits them is up to the system there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    backlog: i32,
    no_delay: bool,
    user_timeout: Option<Duration>,
    unsent: Option<u32>,
    keep_alive: Option<Duration>,
    reuse_port: bool,
}

impl ListenOptions {
    /// A backlog of 4096, no delay, a user timeout of 90 s, 16 KiB unsent, TCP's keep-alive after 60 s.
    pub const fn new() -> Self {
        Self {
            backlog: 4096,
            no_delay: true,
            user_timeout: Some(Duration::from_secs(90)),
            unsent: Some(16 << 10),
            keep_alive: Some(Duration::from_secs(60)),
            reuse_port: false,
        }
    }

    /// How many connections may wait to be accepted, at least one (default 4096): more that come at once, as after a
    /// restart, are dropped and try again a second later. Linux takes `net.core.somaxconn` at most (4096).
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = i32::try_from(connections.max(1)).unwrap_or(i32::MAX);
        self
    }

    /// Whether what is written goes out at once (default: yes). Otherwise an event may wait for the last one's
    /// acknowledgement.
    #[must_use]
    pub fn no_delay(mut self, on: bool) -> Self {
        self.no_delay = on;
        self
    }

    /// After how long a connection is given up whose client acknowledges nothing, or takes nothing (default 90 s, within
    /// 100 ms and nine hours; `None`: the system's some 16 minutes). Linux alone.
    ///
    /// It ends what no deadline reaches, since a full socket stops the body. **It holds for all that the listener
    /// serves**: a download that its reader pauses for longer is cut too.
    ///
    /// Not much shorter: a client whose link was away for longer hears nothing of the end, as no packet reaches it. A
    /// browser's `EventSource` that is not told does not come back; one whose connection was kept has every event a
    /// second after its link is back.
    #[must_use]
    pub fn user_timeout(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.user_timeout = after.into().map(|after| after.clamp(TIMES.0, TIMES.1));
        self
    }

    /// The [`user_timeout`](Self::user_timeout); zero where it is the system's.
    pub fn cuts_after(&self) -> Duration {
        self.user_timeout.unwrap_or_default()
    }

    /// How many bytes that were not sent yet a connection takes before it is full (default 16 KiB; `None`: the
    /// system's, up to megabytes). Linux alone (`TCP_NOTSENT_LOWAT`).
    ///
    /// What a slow client is owed stays in the hub's log, once for all, where it may still be replaced by a newer value
    /// or leave. What is on its way is not limited, so a fast client far away is as fast as before.
    #[must_use]
    pub fn unsent(mut self, bytes: impl Into<Option<u32>>) -> Self {
        self.unsent = bytes.into().map(|bytes| bytes.clamp(1, i32::MAX as u32));
        self
    }

    /// After how long without a packet TCP asks whether the client is still there (default 60 s, at least 1 s;
    /// `None`: never), then each quarter of it, four times.
    ///
    /// For connections on which nothing is sent: between requests, or without
    /// [`StreamOptions::keep_alive`](crate::StreamOptions::keep_alive). No proxy and no page sees it.
    #[must_use]
    pub fn tcp_keep_alive(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.keep_alive = after.into().map(|after| after.clamp(Duration::from_secs(1), TIMES.1));
        self
    }

    /// Whether others of the same user may listen on the same address at the same time, this process or another, if they
    /// ask for it too (`SO_REUSEPORT`; default: no). For [`bind`](Self::bind) alone.
    ///
    /// So a new process can listen before the old one stops. Linux deals the connections among them, whoever is busy;
    /// **those that the old one has not accepted when it closes its socket are reset** and come back, unless the sysctl
    /// `net.ipv4.tcp_migrate_req` is 1. Without it, an address that is taken is an error, which is how a second server
    /// started by mistake is noticed. Port 0 is an error with it: the system might give the port of another who shares.
    #[must_use]
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Sets these options on a socket that listens already, for the connections that it accepts from now on, and its
    /// backlog: one that systemd has passed on, or that the application has made by itself.
    ///
    /// There is none of this for a Unix socket, which has no such options.
    ///
    /// # Errors
    /// What the system says to one of them.
    pub fn set_on(&self, listener: &TcpListener) -> io::Result<()> {
        let socket = SockRef::from(listener);
        self.set(&socket)?;
        // Changes how many may wait.
        socket.listen(self.backlog)
    }

    /// Listens on the first of these addresses that can be had, as [`TcpListener::bind`] does; an address of which a
    /// process that ended has connections left is free.
    ///
    /// What it gives is blocking, as the standard library's; the adapters turn it into what they need.
    ///
    /// # Errors
    /// When none can be had: of the last one's kind, saying which address and why.
    pub fn bind(&self, addr: impl ToSocketAddrs + fmt::Debug) -> io::Result<TcpListener> {
        let failed = |what: &dyn fmt::Display, why: &io::Error| {
            io::Error::new(why.kind(), format!("cannot listen on {what}: {why}"))
        };
        let shown = format!("{addr:?}");
        let mut last = None;
        for addr in addr.to_socket_addrs().map_err(|error| failed(&shown, &error))? {
            match self.bind_one(addr) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = Some(failed(&addr, &error)),
            }
        }
        let none = || {
            io::Error::new(io::ErrorKind::InvalidInput, format!("cannot listen on {shown}: it is no address"))
        };
        Err(last.unwrap_or_else(none))
    }

    fn bind_one(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        if self.reuse_port && addr.port() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an address that is shared needs a port",
            ));
        }
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // On Windows it would let another process take the address.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        if self.reuse_port {
            reuse_port(&socket)?;
        }
        self.set(&socket)?;
        socket.bind(&addr.into())?;
        socket.listen(self.backlog)?;
        Ok(socket.into())
    }

    /// Before it listens, or for the connections that it accepts from now on.
    fn set(&self, socket: &Socket) -> io::Result<()> {
        socket.set_tcp_nodelay(self.no_delay)?;
        match self.keep_alive {
            Some(after) => {
                let quarter = (after / 4).max(Duration::from_secs(1));
                let asking = TcpKeepalive::new().with_time(after);
                #[cfg(not(any(target_os = "openbsd", target_os = "haiku", target_os = "vita")))]
                let asking = asking.with_interval(quarter);
                #[cfg(any(target_os = "openbsd", target_os = "haiku", target_os = "vita"))]
                let _ = quarter;
                #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
                let asking = asking.with_retries(4);
                socket.set_tcp_keepalive(&asking)?;
            }
            None => socket.set_keepalive(false)?,
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            socket.set_tcp_user_timeout(self.user_timeout)?;
            // Zero is the system's.
            socket.set_tcp_notsent_lowat(self.unsent.unwrap_or(0))?;
        }
        Ok(())
    }
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin")))))]
fn reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system shares no address (SO_REUSEPORT)"))
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// [`ListenOptions::bind`] with the options' defaults.
///
/// # Errors
/// When the address cannot be had, saying which and why.
pub fn listener(addr: impl ToSocketAddrs + fmt::Debug) -> io::Result<TcpListener> {
    ListenOptions::new().bind(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_had_is_named() {
        let taken = listener("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let error = listener(addr).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("cannot listen on {addr}: ")), "{error}");
        // Not an address of this machine.
        let error = listener(("192.0.2.1", 80)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:80: "), "{error}");
        let error = listener("no address").unwrap_err();
        assert!(error.to_string().starts_with("cannot listen on \"no address\": "), "{error}");
        assert!(listener(&[] as &[SocketAddr]).unwrap_err().to_string().ends_with("it is no address"));
    }

    #[test]
    fn the_next_address_is_tried() {
        let taken = listener("127.0.0.1:0").unwrap();
        let addrs = [taken.local_addr().unwrap(), ([127, 0, 0, 1], 0).into()];
        let other = listener(&addrs[..]).unwrap();
        assert_ne!(other.local_addr().unwrap(), addrs[0]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_address_is_shared_by_those_who_ask_for_it() {
        let shared = ListenOptions::new().reuse_port(true);
        assert_eq!(shared.bind("127.0.0.1:0").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let first = shared.bind(addr).unwrap();
        let second = shared.bind(addr).unwrap();
        assert_eq!(listener(addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // Whoever comes now comes to the other.
        drop(first);
        for _ in 0..20 {
            let client = std::net::TcpStream::connect(addr).unwrap();
            assert_eq!(second.accept().unwrap().1, client.local_addr().unwrap());
        }
        // Nor the other way round.
        let alone = listener("127.0.0.1:0").unwrap();
        let taken = shared.bind(alone.local_addr().unwrap()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn both_versions_of_ip_are_listened_on() {
        for addr in ["127.0.0.1:0", "[::1]:0"] {
            match listener(addr) {
                Ok(listener) => assert_eq!(listener.local_addr().unwrap().is_ipv6(), addr.starts_with('[')),
                // A machine may have one of them alone.
                Err(error) => assert!(addr.starts_with('['), "{error}"),
            }
        }
    }

    #[test]
    fn numbers_are_bounded() {
        let bounds = ListenOptions::new()
            .backlog(0)
            .user_timeout(Duration::ZERO)
            .unsent(0)
            .tcp_keep_alive(Duration::ZERO);
        assert_eq!((bounds.backlog, bounds.unsent), (1, Some(1)));
        assert_eq!((bounds.user_timeout, bounds.keep_alive), (Some(TIMES.0), Some(Duration::from_secs(1))));
        let bounds = ListenOptions::new()
            .backlog(u32::MAX)
            .user_timeout(Duration::MAX)
            .unsent(u32::MAX)
            .tcp_keep_alive(Duration::MAX);
        bounds.bind("127.0.0.1:0").unwrap();
    }

    /// What a connection has of the listener that accepted it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn accepted_connections_have_the_options() {
        let bound = |options: &ListenOptions| options.bind("127.0.0.1:0").unwrap();
        let passed_on = |options: &ListenOptions| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            options.set_on(&listener).unwrap();
            listener
        };
        for listens in [&bound as &dyn Fn(&ListenOptions) -> TcpListener, &passed_on] {
            are_had_by_what_is_accepted(listens);
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn are_had_by_what_is_accepted(listens: &dyn Fn(&ListenOptions) -> TcpListener) {
        let accepted = |options: &ListenOptions| {
            let listener = listens(options);
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let socket = Socket::from(listener.accept().unwrap().0);
            drop(client);
            let times = socket.keepalive().unwrap().then(|| socket.tcp_keepalive_time().unwrap());
            let lowat = socket.tcp_notsent_lowat().unwrap();
            (socket.tcp_nodelay().unwrap(), socket.tcp_user_timeout().unwrap(), lowat, times)
        };
        let seconds = Duration::from_secs;
        assert_eq!(accepted(&ListenOptions::new()), (true, Some(seconds(90)), 16 << 10, Some(seconds(60))));
        let others = ListenOptions::new()
            .no_delay(false)
            .user_timeout(seconds(7))
            .unsent(9999)
            .tcp_keep_alive(seconds(5));
        assert_eq!(accepted(&others), (false, Some(seconds(7)), 9999, Some(seconds(5))));
        let off = ListenOptions::new().no_delay(false).user_timeout(None).unsent(None).tcp_keep_alive(None);
        assert_eq!(accepted(&off), (false, None, 0, None));
    }
}
