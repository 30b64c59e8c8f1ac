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

#[cfg(test)]
mod tests {
    use super::*;

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
