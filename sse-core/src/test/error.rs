//! [`ReadError`]: why there is no next event, and what came instead.

use std::{fmt, time::Duration};

/// How much of what came is shown, in bytes.
const SHOWN: usize = 2000;

/// Why an [`EventReader`](super::EventReader) has no next event. It tells what did come, by `Display` as by `Debug`,
/// which is what `unwrap` and a test that returns an error show.
#[derive(Clone)]
pub struct ReadError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ReadErrorKind,
    came: Came,
}

/// The kinds of [`ReadError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// Nothing came for as long as this.
    Silent(Duration),
    /// The stream has ended.
    Ended,
    /// The answer is no event stream, but one of this status and content type.
    NoStream {
        /// The status code.
        status: u16,
        /// The content type; empty where there is none.
        content_type: String,
    },
    /// The body has failed with this error, or is not UTF-8.
    Body(String),
}

impl ReadError {
    pub(super) fn new(kind: ReadErrorKind, came: &Came) -> Self {
        Self(Box::new(Inner { kind, came: came.clone() }))
    }

    /// What kind of error it is.
    pub fn kind(&self) -> &ReadErrorKind {
        &self.0.kind
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, came } = &*self.0;
        match kind {
            ReadErrorKind::Silent(bound) => write!(f, "no event came within {bound:?}")?,
            ReadErrorKind::Ended => f.write_str("the stream ended, and no event came")?,
            ReadErrorKind::NoStream { status, content_type } if content_type.is_empty() => {
                write!(f, "the answer is no event stream, but a {status} without a content type")?;
            }
            ReadErrorKind::NoStream { status, content_type } => {
                write!(f, "the answer is no event stream, but a {status} of {content_type}")?;
            }
            ReadErrorKind::Body(error) => write!(f, "the body failed: {error}")?,
        }
        came.fmt(f)
    }
}

impl fmt::Debug for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ReadError {}

/// What came so far: how much, and the last of it as it was.
#[derive(Clone, Default)]
pub(super) struct Came {
    events: usize,
    bytes: usize,
    last: Vec<u8>,
}

impl Came {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(SHOWN)..]);
        self.last.drain(..self.last.len().saturating_sub(SHOWN));
    }

    pub(super) fn event(&mut self) {
        self.events += 1;
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bytes == 0 {
            return f.write_str("; nothing at all came");
        }
        let events = if self.events == 1 { "event" } else { "events" };
        write!(f, "; so far came {} {events} in {} bytes", self.events, self.bytes)?;
        let dots = if self.bytes > self.last.len() { ", of which the last are" } else { "" };
        writeln!(f, "{dots}:")?;
        let text = String::from_utf8_lossy(&self.last);
        text.lines().try_for_each(|line| writeln!(f, "| {}", line.escape_debug()))
    }
}
