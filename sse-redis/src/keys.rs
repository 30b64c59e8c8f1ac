//! [`Keys`]: what a log's parts are called in Redis.

/// The keys of one log. All have its name as their hash tag, so that they are in one slot.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The stream.
    pub(crate) log: String,
    /// The present epoch and the newest record's place.
    pub(crate) meta: String,
    /// When the last epochs began, oldest first.
    pub(crate) epochs: String,
    /// Records that are kept, by their names.
    pub(crate) kept: String,
    /// And until when.
    pub(crate) kept_until: String,
    /// Before the key of a record.
    known: String,
    /// For trying which commands may be run; nothing is kept in it.
    pub(crate) probe: String,
    /// Where a cluster has all of them.
    pub(crate) slot: u16,
}

impl Keys {
    pub(crate) fn new(name: &str) -> Self {
        let key = |part: &str| format!("{{{name}}}:{part}");
        Self {
            log: key("log"),
            meta: key("meta"),
            epochs: key("epochs"),
            kept: key("kept"),
            kept_until: key("kept-until"),
            known: key("key:"),
            probe: key("probe"),
            slot: crc16(name.as_bytes()) % SLOTS,
        }
    }

    /// Whether a name of a log can be one.
    pub(crate) fn is_name(name: &str) -> bool {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        matches!(name.len(), 1..=64) && name.bytes().all(is_letter)
    }

    /// Where it is remembered that a record with this key was published.
    pub(crate) fn known(&self, key: &str) -> String {
        format!("{}{key}", self.known)
    }

    /// What an access rule of Redis calls all of them.
    pub(crate) fn pattern(&self) -> String {
        format!("{}*", self.known.trim_end_matches("key:"))
    }
}

/// Of a cluster.
const SLOTS: u16 = 16384;

/// The checksum that a cluster assigns keys to slots by, of their hash tag: CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // As CLUSTER KEYSLOT says.
        for (name, slot) in [("123456789", 12739), ("foo", 12182), ("sse", 8273), ("user1000", 3443)] {
            assert_eq!(Keys::new(name).slot, slot, "{name}");
        }
    }

    #[test]
    fn all_keys_are_in_one_slot() {
        let keys = Keys::new("shop");
        assert_eq!(keys.log, "{shop}:log");
        assert_eq!(keys.known("a}b{c"), "{shop}:key:a}b{c");
        assert_eq!(keys.pattern(), "{shop}:*");
    }

    #[test]
    fn names_cannot_end_the_hash_tag() {
        assert!(Keys::is_name("shop-2.eu_West"));
        for name in ["", "a}b", "{", "a b", "é", &"a".repeat(65)] {
            assert!(!Keys::is_name(name), "{name}");
        }
    }
}
