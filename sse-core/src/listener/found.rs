//! The same options for a listening socket that a framework has bound by itself and gives nobody.

use std::{io, net::SocketAddr};

use super::ListenOptions;

impl ListenOptions {
    /// Sets these options on the socket of this process that listens on this address, for the connections that it
    /// accepts from now on, and its backlog. For adapters whose framework binds by itself and shows its socket to
    /// nobody. What was done, or why nothing was, is logged.
    ///
    /// Only a socket that is bound to exactly this address and listens is touched; any other stays as it was. Whether
    /// there was one.
    ///
    /// It takes Linux 5.6 and the system calls `pidfd_open` and `pidfd_getfd` on the process itself, which seccomp
    /// profiles of containers may forbid (Docker's default does without `CAP_SYS_PTRACE`). Then, and on other systems,
    /// the socket stays as the framework made it.
    pub fn set_on_found(&self, addr: SocketAddr) -> bool {
        match self.look_for(addr) {
            // As in a test without a server.
            Ok(0) => tracing::info!(%addr, "no socket of this process listens there: no options to set"),
            Ok(sockets) => {
                tracing::debug!(%addr, sockets, options = ?self, "set the options of the listening socket");
                return true;
            }
            Err(error) => {
                tracing::warn!(%addr, %error, "cannot set the options of the listening socket: {REMEDY}");
            }
        }
        false
    }

    /// How many there were.
    #[cfg(target_os = "linux")]
    fn look_for(&self, addr: SocketAddr) -> io::Result<usize> {
        use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
        use socket2::Socket;

        let process = pidfd_open(getpid(), PidfdFlags::empty())?;
        let mut found = 0;
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let entry = entry?;
            // It may be closed by now.
            let is_socket = std::fs::read_link(entry.path())
                .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if !is_socket {
                continue;
            }
            let socket = match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
                Ok(descriptor) => Socket::from(descriptor),
                Err(rustix::io::Errno::BADF) => continue,
                Err(error) => return Err(error.into()),
            };
            // Looked at on the duplicate: the number may be another's by now.
            let is_there = socket.local_addr().is_ok_and(|local| local.as_socket() == Some(addr));
            if is_there && socket.r#type()? == socket2::Type::STREAM && socket.is_listener()? {
                self.set(&socket)?;
                // Changes how many may wait.
                socket.listen(self.backlog)?;
                found += 1;
            }
        }
        Ok(found)
    }

    #[cfg(not(target_os = "linux"))]
    fn look_for(&self, _: SocketAddr) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no way to reach it"))
    }
}

/// For whoever reads the log.
const REMEDY: &str = "clients that do not read may hold megabytes in the kernel each, and those that vanished are given \
    up after a quarter of an hour; on Linux set the sysctls net.ipv4.tcp_notsent_lowat=16384 and \
    net.ipv4.tcp_retries2=8 where the server runs";

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{
        net::{TcpListener, TcpStream, UdpSocket},
        time::Duration,
    };

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::*;

    fn timeout(socket: impl Into<Socket>) -> Option<Duration> {
        socket.into().tcp_user_timeout().unwrap()
    }

    #[test]
    fn a_listener_that_others_made_gets_the_options_and_no_other_socket_does() {
        let options = ListenOptions::new().user_timeout(Duration::from_secs(7));
        let bound = TcpListener::bind("127.0.0.1:0").unwrap();
        let neighbour = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = bound.local_addr().unwrap();
        let before = TcpStream::connect(addr).unwrap();
        let accepted_before = bound.accept().unwrap().0;
        // The same numbers, but not of TCP.
        let _datagrams = UdpSocket::bind(addr).unwrap();
        assert!(options.set_on_found(addr));

        let after = TcpStream::connect(addr).unwrap();
        assert_eq!(timeout(bound.accept().unwrap().0), Some(Duration::from_secs(7)));
        for other in [Socket::from(neighbour), accepted_before.into(), before.into(), after.into()] {
            assert_eq!(timeout(other), None);
        }
    }

    #[test]
    fn what_does_not_listen_is_left_alone() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        assert!(!ListenOptions::new().set_on_found(addr));
        assert_eq!(timeout(socket), None);
    }
}
