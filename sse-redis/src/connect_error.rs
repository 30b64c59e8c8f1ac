//! [`ConnectError`]: why an engine could not be made.

use std::{error::Error, fmt};

use crate::trouble::Trouble;

/// Redis was not reached, or is not fit to hold a log. The text says what to do; it has no password.
pub struct ConnectError {
    text: String,
    source: Option<Trouble>,
}

impl ConnectError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), source: None }
    }

    pub(crate) fn of(text: impl Into<String>, source: Trouble) -> Self {
        Self { text: text.into(), source: Some(source) }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As it is displayed, and its source: this is what a `main` that returns it prints.
impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, " ({source})"))
    }
}

/// The source is what the connection or the server said.
impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as &(dyn Error + 'static))
    }
}
