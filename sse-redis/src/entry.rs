//! [`Entry`]: one of the stream's, and where it stands.

use std::fmt;

use bytes::Bytes;
use redis::Value;
use sse_core::EventId;

use crate::{answer, trouble::Trouble};

/// An entry's id in the stream: ordered, and never given back. The second number counts entries without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// Milliseconds of the log's own time.
    pub(crate) ms: u64,
    /// Its place.
    pub(crate) n: u64,
}

impl At {
    fn parse(text: &str) -> Option<Self> {
        let (ms, n) = text.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, n: n.parse().ok()? })
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)
    }
}

/// A position: behind the entry that stands there, in the epoch that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) at: At,
}

impl Position {
    pub(crate) fn id(&self) -> EventId {
        EventId::new(self.epoch, self.at.n)
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A record.
    Record { epoch: u64, record: Bytes },
    /// An epoch begins; the one before, if the log up to here is as that one left it.
    Begins { epoch: u64, previous: Option<u64> },
    /// Nothing of ours.
    Foreign,
}

/// An entry of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: At,
    pub(crate) said: Said,
}

impl Entry {
    /// Those in an answer to `XRANGE`.
    pub(crate) fn all(value: Value) -> Result<Vec<Self>, Trouble> {
        answer::list(value)?.into_iter().map(Self::one).collect()
    }

    /// Those in an answer to `XREAD` of one stream.
    pub(crate) fn read(value: Value) -> Result<Vec<Self>, Trouble> {
        let Some(stream) = answer::list(value)?.pop() else { return Ok(Vec::new()) };
        let [_, entries] = answer::exactly(stream)?;
        Self::all(entries)
    }

    fn one(value: Value) -> Result<Self, Trouble> {
        let [at, fields] = answer::exactly(value)?;
        let at = At::parse(&answer::text(at)?).ok_or(Trouble::Unexpected("an entry's id"))?;
        Ok(Self { at, said: Self::said(answer::list(fields)?).unwrap_or(Said::Foreign) })
    }

    fn said(fields: Vec<Value>) -> Option<Said> {
        let [first, epoch, second, value] = fields.try_into().ok()?;
        let is = |value: &Value, name: &[u8]| matches!(value, Value::BulkString(text) if text == name);
        if !is(&first, b"e") {
            return None;
        }
        let epoch = epoch_of(&answer::text(epoch).ok()?)?;
        if is(&second, b"r") {
            return Some(Said::Record { epoch, record: answer::bytes(value).ok()?.into() });
        }
        let previous = answer::text(value).ok().filter(|_| is(&second, b"p"))?;
        let previous = if previous.is_empty() { None } else { Some(epoch_of(&previous)?) };
        Some(Said::Begins { epoch, previous })
    }
}

/// An epoch as it is written in Redis.
pub(crate) fn epoch_of(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, fields: &[&str]) -> Entry {
        let text = |text: &str| Value::BulkString(text.into());
        let fields = Value::Array(fields.iter().map(|field| text(field)).collect());
        let entries = Entry::all(Value::Array(vec![Value::Array(vec![text(id), fields])]));
        entries.unwrap().pop().unwrap()
    }

    #[test]
    fn entries_are_records_or_begin_an_epoch() {
        let record = entry("7-3", &["e", "00000000000000ff", "r", "hello"]);
        assert_eq!(record.at, At { ms: 7, n: 3 });
        assert_eq!(record.said, Said::Record { epoch: 255, record: Bytes::from_static(b"hello") });
        let begins = |previous| Said::Begins { epoch: 1, previous };
        assert_eq!(entry("7-3", &["e", "1", "p", ""]).said, begins(None));
        assert_eq!(entry("7-3", &["e", "1", "p", "2"]).said, begins(Some(2)));
    }

    #[test]
    fn what_others_write_is_not_ours() {
        for fields in [
            &["a", "b"][..],
            &["e", "x", "r", "b"],
            &["r", "1", "e", "b"],
            &["e", "1", "q", ""],
            &["e", "1", "p", "x"],
        ] {
            assert_eq!(entry("7-3", fields).said, Said::Foreign, "{fields:?}");
        }
    }
}
