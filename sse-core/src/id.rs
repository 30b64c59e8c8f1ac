//! [`EventId`]: a position in the hub's log, as clients carry it.

use std::{
    fmt::{self, Write},
    str::FromStr,
};

use serde::{Serialize, Serializer};

/// The id of an event in a [`Hub`](crate::Hub)'s log, and the position right behind it.
///
/// Opaque and printable: an *epoch*, which is random and new each time a log starts, and a *sequence*, which is
/// ordered only within its epoch. A client that sends one back as `Last-Event-ID` says: I have everything on my
/// topics up to here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
}

impl EventId {
    /// An id of an [`Engine`](crate::Engine)'s.
    pub fn new(epoch: u64, sequence: u64) -> Self {
        Self { epoch, seq: sequence }
    }

    /// Which life of its log it is of: nothing that could be compared.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Its place in its epoch. How many events lie between two it does not say.
    pub fn sequence(&self) -> u64 {
        self.seq
    }

    /// The longest an id is as text, in bytes.
    pub(crate) const MAX_LEN: usize = 16 + 1 + 20;

    /// Appends what [`Display`](fmt::Display) writes, in a fraction of the time: hubs do it under their lock.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let mut text = [b'-'; Self::MAX_LEN];
        for (index, digit) in text[..16].iter_mut().enumerate() {
            let nibble = (self.epoch >> (60 - 4 * index) & 0xf) as usize;
            *digit = b"0123456789abcdef"[nibble];
        }
        out.extend_from_slice(&text[..17]);
        let mut rest = self.seq;
        let mut first = text.len();
        loop {
            first -= 1;
            text[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(&text[first..]);
    }

    /// The position before the first event of a new epoch.
    pub(crate) fn start() -> Self {
        Self { epoch: rand::random(), seq: 0 }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.seq)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a client is given as `id`: its position, and whether all present values that go with it were sent.
///
/// Values of *latest value* topics are given out of order, under the subscription's own position. A client that
/// is cut between two of them must get the others when it comes back, so all but the last bear a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientId {
    pub(crate) id: EventId,
    pub(crate) owes_values: bool,
}

/// What stands behind the id of a client that is owed values.
const OWES_VALUES: char = '~';

impl ClientId {
    pub(crate) const MAX_LEN: usize = EventId::MAX_LEN + OWES_VALUES.len_utf8();

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        self.id.write(out);
        if self.owes_values {
            out.push(OWES_VALUES as u8);
        }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)?;
        if self.owes_values { f.write_char(OWES_VALUES) } else { Ok(()) }
    }
}

impl FromStr for ClientId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let id = text.strip_suffix(OWES_VALUES);
        Ok(Self { id: id.unwrap_or(text).parse()?, owes_values: id.is_some() })
    }
}

impl From<EventId> for ClientId {
    fn from(id: EventId) -> Self {
        Self { id, owes_values: false }
    }
}

/// Accepts exactly what [`Display`](fmt::Display) writes, so that two different texts never name one position.
impl FromStr for EventId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (epoch, seq) = text.split_once('-').ok_or(ParseIdError)?;
        let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let canonical = epoch.len() == 16
            && epoch.bytes().all(lower_hex)
            && seq.bytes().all(|b| b.is_ascii_digit())
            && (seq.len() == 1 || !seq.starts_with('0'));
        if !canonical {
            return Err(ParseIdError);
        }
        Ok(Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| ParseIdError)?,
            seq: seq.parse().map_err(|_| ParseIdError)?,
        })
    }
}

/// The text is not an [`EventId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not an event id of this hub")
    }
}

impl std::error::Error for ParseIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_owed_values_says_so() {
        let id = EventId { epoch: 7, seq: 42 };
        for (owes_values, text) in [(false, "0000000000000007-42"), (true, "0000000000000007-42~")] {
            let client = ClientId { id, owes_values };
            let mut written = Vec::new();
            client.write(&mut written);
            assert_eq!(written, text.as_bytes());
            assert_eq!(client.to_string(), text);
            assert_eq!(text.parse(), Ok(client));
        }
        assert!("0000000000000007-42~~".parse::<ClientId>().is_err());
        assert!("0000000000000007-42~".parse::<EventId>().is_err());
    }

    #[test]
    fn reads_back_what_it_writes_and_nothing_else() {
        for id in [
            EventId { epoch: 0, seq: 0 },
            EventId { epoch: u64::MAX, seq: u64::MAX },
            EventId { epoch: 1, seq: 10 },
        ] {
            let text = id.to_string();
            assert!(text.len() <= EventId::MAX_LEN);
            let mut written = Vec::new();
            id.write(&mut written);
            assert_eq!(written, text.as_bytes());
            assert_eq!(text.parse(), Ok(id));
        }
        let wide = format!("{}-18446744073709551616", "0".repeat(16));
        for text in [
            "",
            "-",
            "1-1",
            "0000000000000000-",
            "0000000000000000-01",
            "0000000000000000-+1",
            "000000000000000A-1",
            "0000000000000000-1 ",
            &wide,
            "+000000000000000-1",
            "é-1",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text:?}");
        }
    }
}
