//! [`TrustedProxies`]: whose word counts for where a client is.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use ipnet::{IpNet, Ipv4Net};

/// The proxies in front of the server, whose word counts for where a client is.
///
/// Each of them adds the address of who has asked it at the end of a header field. What stands in front of that came
/// with the request, and may be anything: so the field is read from its end, and only as far as those that are trusted
/// have written it.
///
/// ```
/// use sse_core::{Limits, TrustedProxies};
///
/// # fn f() -> Result<(), sse_core::NetworkError> {
/// let proxies = TrustedProxies::networks(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])?;
/// let limits = Limits::builder().trusted_proxies(proxies).max_streams_per_address(50).build();
/// # Ok(()) }
/// # f().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    who: Who,
    header: Box<str>,
}

#[derive(Clone, Debug)]
enum Who {
    Networks(Vec<IpNet>),
    Hops(usize),
}

impl TrustedProxies {
    /// Those with addresses in these networks (`10.0.0.0/8`), or with these addresses. What a request says that comes
    /// from elsewhere does not count.
    ///
    /// # Errors
    /// [`NetworkError`] for a text that is neither.
    pub fn networks<I>(networks: I) -> Result<Self, NetworkError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let network = |text: I::Item| {
            let text = text.as_ref();
            let address = || text.parse::<IpAddr>().map(IpNet::from);
            text.parse().or_else(|_| address()).map(canonical).map_err(|_| NetworkError(text.into()))
        };
        let networks = networks.into_iter().map(network).collect::<Result<_, _>>()?;
        Ok(Self { who: Who::Networks(networks), header: X_FORWARDED_FOR.into() })
    }

    /// So many of them, one behind the other, whatever their addresses: for balancers whose addresses change.
    ///
    /// **The server must be reached through all of them and in no other way.** Whoever gets past one of them chooses
    /// the address as which it counts.
    pub fn hops(hops: usize) -> Self {
        Self { who: Who::Hops(hops), header: X_FORWARDED_FOR.into() }
    }

    /// The header field that they write (default: `X-Forwarded-For`): `Forwarded`
    /// ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)), or one of their own with an address or a list of them, as
    /// `CF-Connecting-IP`. It must be one that the proxy adds to or replaces; one that it passes on is the client's to
    /// write.
    #[must_use]
    pub fn header(mut self, name: &str) -> Self {
        self.header = name.to_ascii_lowercase().into();
        self
    }

    /// The name of the field, in lower case.
    pub(crate) fn header_name(&self) -> &str {
        &self.header
    }

    /// Where the client is: the first from the end whom nobody trusted speaks for. `values` are those of the header.
    pub(crate) fn client<'a>(
        &self,
        peer: Option<IpAddr>,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Option<IpAddr> {
        let values: Vec<&[u8]> = values.collect();
        let said = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        let mut said = said.map(|element| self.address(element));
        let mut client = peer.map(|peer| peer.to_canonical());
        let mut hops = 0;
        loop {
            let is_trusted = match &self.who {
                Who::Networks(networks) => {
                    client.is_some_and(|client| networks.iter().any(|network| network.contains(&client)))
                }
                Who::Hops(trusted) => hops < *trusted,
            };
            hops += 1;
            // Where one that is trusted says nothing that can be read, it is itself the last that is known.
            match said.next().flatten().filter(|_| is_trusted) {
                Some(before) => client = Some(before),
                None => return client,
            }
        }
    }

    fn address(&self, element: &[u8]) -> Option<IpAddr> {
        let element = std::str::from_utf8(element).ok()?.trim();
        let address = if &*self.header == FORWARDED { forwarded_for(element)? } else { element };
        let address = address.trim_matches('"');
        let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
        let address = bare.parse().or_else(|_| address.parse::<SocketAddr>().map(|address| address.ip()));
        address.ok().map(|address: IpAddr| address.to_canonical())
    }
}

/// A network of IPv4 that is written in IPv6's form is what it is in its own, as the addresses that it is held against.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let of_ipv4 = mapped.addr().to_ipv4_mapped().zip(mapped.prefix_len().checked_sub(96));
    let of_ipv4 = of_ipv4.and_then(|(address, len)| Ipv4Net::new(address, len).ok());
    of_ipv4.map_or(network, IpNet::V4)
}

const X_FORWARDED_FOR: &str = "x-forwarded-for";

const FORWARDED: &str = "forwarded";

/// What an element of `Forwarded` says of who has asked.
///
/// Elements were told apart by their commas, quoted or not: a proxy adds one at the end, and a quotation mark that a
/// client has left open in front of it must not swallow it.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    })
}

/// A text that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError(Box<str>);

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither an address nor a network such as 10.0.0.0/8", self.0)
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &TrustedProxies, peer: &str, values: &[&str]) -> String {
        let peer = peer.parse().ok();
        let client = proxies.client(peer, values.iter().map(|value| value.as_bytes()));
        client.map_or_else(|| "-".to_owned(), |client| client.to_string())
    }

    #[test]
    fn a_header_is_read_from_its_end_over_those_who_are_trusted() {
        let proxies = TrustedProxies::networks(["10.0.0.0/8", "192.0.2.1", "fd00::/8"]).unwrap();
        for (peer, values, expected) in [
            // Who is not trusted says what it likes.
            ("203.0.113.9", &["1.1.1.1"][..], "203.0.113.9"),
            ("::ffff:203.0.113.9", &["1.1.1.1"], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            ("::ffff:10.0.0.1", &["::ffff:1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1, 192.0.2.1,fd00::2 "], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1", "192.0.2.1", "10.9.9.9"], "1.1.1.1"),
            // All are trusted: the first.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // Nothing that could be read: the last who is known.
            ("10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1, ,10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1:50000"], "1.1.1.1"),
            ("10.0.0.1", &["[2001:db8::1]:50000"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("-", &["1.1.1.1"], "-"),
        ] {
            assert_eq!(client(&proxies, peer, values), expected, "{peer} {values:?}");
        }
        // A dual-stack socket's form.
        for text in ["::ffff:10.0.0.0/104", "::ffff:10.0.0.1"] {
            let proxies = TrustedProxies::networks([text]).unwrap();
            for peer in ["10.0.0.1", "::ffff:10.0.0.1"] {
                assert_eq!(client(&proxies, peer, &["1.1.1.1"]), "1.1.1.1", "{text} {peer}");
            }
        }
        let not_text = [b"1.1.1.1, \xff".as_slice()];
        assert_eq!(proxies.client("10.0.0.1".parse().ok(), not_text.into_iter()), "10.0.0.1".parse().ok());
    }

    #[test]
    fn so_many_hops_are_trusted_wherever_they_are() {
        for (hops, peer, expected) in [
            (0, "10.0.0.1", "10.0.0.1"),
            (1, "10.0.0.1", "3.3.3.3"),
            (2, "10.0.0.1", "2.2.2.2"),
            (3, "10.0.0.1", "1.1.1.1"),
            (9, "10.0.0.1", "1.1.1.1"),
            // As over a Unix socket.
            (1, "-", "3.3.3.3"),
        ] {
            let proxies = TrustedProxies::hops(hops);
            assert_eq!(client(&proxies, peer, &["1.1.1.1, 2.2.2.2, 3.3.3.3"]), expected, "{hops} {peer}");
        }
    }

    #[test]
    fn other_fields_are_read_too() {
        let proxies = TrustedProxies::hops(1).header("Forwarded");
        assert_eq!(proxies.header_name(), "forwarded");
        for (value, expected) in [
            ("for=1.1.1.1", "1.1.1.1"),
            ("for=6.6.6.6, proto=https; For=\"[2001:db8::1]:4711\" ;by=x", "2001:db8::1"),
            ("for=\"6.6.6.6, for=1.1.1.1", "1.1.1.1"),
            ("for=1.1.1.1;by=\"a\", by=10.0.0.2", "10.0.0.1"),
            ("for=_hidden", "10.0.0.1"),
            ("1.1.1.1", "10.0.0.1"),
        ] {
            assert_eq!(client(&proxies, "10.0.0.1", &[value]), expected, "{value}");
        }
        let proxies = TrustedProxies::hops(1).header("CF-Connecting-IP");
        assert_eq!(client(&proxies, "10.0.0.1", &["2001:db8::1"]), "2001:db8::1");
    }

    #[test]
    fn what_is_no_network_is_an_error() {
        for text in ["", "10.0.0.0/33", "10.0.0", "localhost", "10.0.0.1:80"] {
            let error = TrustedProxies::networks(["10.0.0.1", text]).unwrap_err();
            assert!(error.to_string().contains(text));
        }
    }
}
