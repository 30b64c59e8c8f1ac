//! [`Key`]: by what subjects, addresses and topics are counted.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::LazyLock,
};

/// 128 bits under keys that this process has drawn, so that nobody can look for two that are alike: whatever is counted
/// takes the same room, however long its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u128);

impl Key {
    pub(super) fn of_subject(subject: &str) -> Self {
        Self::of("subject", subject.as_bytes())
    }

    pub(super) fn of_topic(topic: &str) -> Self {
        Self::of("topic", topic.as_bytes())
    }

    /// Of IPv6 the first 64 bits: an end user has at least as many addresses as the others can count.
    pub(super) fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of("address", &address.octets()),
            IpAddr::V6(address) => Self::of("address", &address.octets()[..8]),
        }
    }

    /// Which of so many crowds it falls into.
    pub(super) fn crowd(self, crowds: u16) -> u16 {
        (self.0 % u128::from(crowds.max(1))) as u16
    }

    fn of(what: &str, name: &[u8]) -> Self {
        static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let [low, high] = [0, 1].map(|half| KEYS[half].hash_one((what, name)));
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_ipv4_or_a_network_of_64_bits() {
        let key = |address: &str| Key::of_address(address.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(Key::of_subject("a"), Key::of_topic("a"));
    }
}
