//! [`Sse`]: an event stream as a client reads it, written from the standard and not from the library.

use memchr::memchr;

/// One event, as a page's `onmessage` sees it.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// Empty for `message`.
    pub(crate) name: &'a str,
    pub(crate) data: &'a str,
}

#[derive(Debug, Default)]
pub(crate) struct Sse {
    /// Of a line that has not ended.
    line: Vec<u8>,
    name: String,
    data: String,
    /// Whether something of an event has come whose blank line has not.
    begun: bool,
    /// What a client sends back as `Last-Event-ID`.
    pub(crate) id: String,
    next_id: Option<String>,
    /// In milliseconds.
    pub(crate) retry: Option<u64>,
}

impl Sse {
    /// For a client that comes back.
    pub(crate) fn after(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// What was told to last is kept, what was cut is not.
    pub(crate) fn come_back(self) -> Self {
        Self { retry: self.retry, ..Self::after(self.id) }
    }

    /// Whether nothing is left of an event that was cut.
    pub(crate) fn is_between(&self) -> bool {
        !self.begun && self.line.is_empty()
    }

    pub(crate) fn read(&mut self, mut bytes: &[u8], mut each: impl FnMut(&Self, Event<'_>)) {
        while let Some(end) = memchr(b'\n', bytes) {
            if self.line.is_empty() {
                self.take(&bytes[..end], &mut each);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&bytes[..end]);
                self.take(&line, &mut each);
                line.clear();
                self.line = line;
            }
            bytes = &bytes[end + 1..];
        }
        self.line.extend_from_slice(bytes);
    }

    fn take(&mut self, line: &[u8], each: &mut impl FnMut(&Self, Event<'_>)) {
        let line = std::str::from_utf8(line).expect("text").trim_end_matches('\r');
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => self.dispatch(each),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
                self.begun = true;
            }
            "event" => {
                value.clone_into(&mut self.name);
                self.begun = true;
            }
            "id" => self.next_id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().ok(),
            _ => {}
        }
    }

    fn dispatch(&mut self, each: &mut impl FnMut(&Self, Event<'_>)) {
        if let Some(id) = self.next_id.take() {
            self.id = id;
        }
        if self.begun {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            self.begun = false;
            // One without data is none.
            if let Some(data) = data.strip_suffix('\n') {
                each(self, Event { name: &name, data });
            }
            (self.name, self.data) = (name, data);
            self.name.clear();
            self.data.clear();
        }
    }
}
