//! [`Text`]: what a client must read, compared as it comes.

/// A stream's expected bytes and how far they have come.
#[derive(Debug)]
pub(crate) struct Text {
    expected: Vec<u8>,
    at: usize,
    /// Read, but not compared yet.
    rest: Vec<u8>,
    opened: bool,
}

impl Text {
    /// Behind the opening, which has a jittered time, these bytes.
    pub(crate) fn new(expected: Vec<u8>) -> Self {
        Self { expected, at: 0, rest: Vec::new(), opened: false }
    }

    /// Behind an opening that was read otherwise.
    pub(crate) fn opened(expected: Vec<u8>) -> Self {
        Self { opened: true, ..Self::new(expected) }
    }

    /// More is to come.
    pub(crate) fn expect(&mut self, more: &[u8]) {
        self.expected.extend_from_slice(more);
    }

    /// Whether everything expected was read.
    pub(crate) fn is_whole(&self) -> bool {
        self.opened && self.at == self.expected.len() && self.rest.is_empty()
    }

    /// Whether at least half of it was.
    pub(crate) fn is_half(&self) -> bool {
        self.at * 2 >= self.expected.len()
    }

    /// How far it has come.
    pub(crate) fn progress(&self) -> String {
        format!("{} of {} bytes were read", self.at, self.expected.len())
    }

    /// The next bytes that were read. A keep-alive may stand between events: the machine is slow now and then.
    ///
    /// # Errors
    /// What stands there instead of what should.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.rest.extend_from_slice(bytes);
        if !self.opened {
            let Some(end) = self.rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1) else {
                return Ok(());
            };
            let opening: Vec<u8> = self.rest.drain(..=end.0).collect();
            if !is_opening(&opening) {
                return Err(format!("the opening is {:?}", String::from_utf8_lossy(&opening)));
            }
            self.opened = true;
        }
        loop {
            let expected = &self.expected[self.at..];
            let len = expected.len().min(self.rest.len());
            let equal = if expected[..len] == self.rest[..len] {
                len
            } else {
                expected.iter().zip(&self.rest).take_while(|(a, b)| a == b).count()
            };
            self.at += equal;
            self.rest.drain(..equal);
            let between = self.expected[..self.at].ends_with(b"\n\n") || self.at == 0;
            match *self.rest {
                [] => return Ok(()),
                [b':'] if between => return Ok(()),
                [b':', b'\n', ..] if between => drop(self.rest.drain(..2)),
                _ => return Err(self.difference()),
            }
        }
    }

    fn difference(&self) -> String {
        let part = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let expected = part(&self.expected[self.at..]);
        format!("{}, and then {:?} came, not {expected:?}", self.progress(), part(&self.rest))
    }
}

/// `:` and a reconnection time, a line each.
fn is_opening(bytes: &[u8]) -> bool {
    let millis = bytes.strip_prefix(b":\nretry: ").and_then(|rest| rest.strip_suffix(b"\n"));
    millis.is_some_and(|millis| !millis.is_empty() && millis.iter().all(u8::is_ascii_digit))
}

#[test]
fn a_difference_is_seen() {
    let read = |parts: &[&str]| {
        let mut text = Text::new(b"data: one\n\ndata: two\n\n".to_vec());
        parts.iter().try_for_each(|part| text.take(part.as_bytes())).map(|()| text.is_whole())
    };
    assert_eq!(read(&[":\nretry: 1\ndata: one\n\ndata: two\n\n"]), Ok(true));
    assert_eq!(read(&[":\nre", "try: 12\nda", "ta: one\n", "\n:", "\n:\ndata: two\n\n:\n"]), Ok(true));
    assert_eq!(read(&[":\nretry: 1\ndata: one\n\ndata: two\n"]), Ok(false));
    for wrong in [
        "data: one\n\n",
        ":\nretry: \n",
        ":\nretry: 1\ndata: two\n\n",
        ":\nretry: 1\ndata: one\n\ndata: one\n\n",
        ":\nretry: 1\ndata: one\n\ndata: two\n\ndata: two\n\n",
        ":\nretry: 1\ndata: one\n:\n\ndata: two\n\n",
        ":\nretry: 1\ndata: one\n\n\ndata: two\n\n",
    ] {
        assert!(read(&[wrong]).is_err(), "{wrong:?}");
    }
}
