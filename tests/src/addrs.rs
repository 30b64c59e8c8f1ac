//! Addresses for servers that bind by themselves.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// One that nobody else has, in other test processes either: somewhere in 127.0.0.0/8, below the ports that the system
/// gives to clients. Where the port alone was chosen, two of some dozens would be given the same, before either binds it.
pub(crate) fn free_addr() -> SocketAddr {
    let [addr] = free_addrs();
    addr
}

/// Several with the same host.
pub(crate) fn free_addrs<const N: usize>() -> [SocketAddr; N] {
    let byte = || rand::random_range(1..255);
    let tries = std::iter::repeat_with(|| {
        let host = Ipv4Addr::new(127, byte(), byte(), byte());
        // One behind the other: none twice.
        let first = rand::random_range(20_000..32_000);
        std::array::from_fn(|next| SocketAddr::from((host, first + next as u16)))
    });
    let are_free = |addrs: &[SocketAddr; N]| addrs.iter().all(|addr| TcpListener::bind(addr).is_ok());
    tries.take(1000).find(are_free).expect("free ports")
}
