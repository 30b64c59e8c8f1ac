//! The client's side of an event stream, written from
//! [HTML §9.2.5 and §9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)
//! alone, so that it shares no mistake with the encoder.

#![allow(dead_code, reason = "every test that includes it uses its own part")]

/// What a listener is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) last_event_id: String,
}

/// Takes the bytes in any pieces.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    started: bool,
    after_cr: bool,
    line: Vec<u8>,
    data: String,
    name: String,
    id: String,
    last_event_id: String,
    retry: Option<u64>,
    comments: Vec<String>,
    messages: Vec<Message>,
}

impl Parser {
    /// A client that comes back with this id.
    pub(crate) fn resuming(id: &str) -> Self {
        Self { id: id.to_owned(), last_event_id: id.to_owned(), ..Self::default() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_cr => {}
                b'\r' | b'\n' => self.end_line(),
                _ => self.line.push(byte),
            }
            self.after_cr = byte == b'\r';
        }
    }

    /// The messages since the last call.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// What a client would send as `Last-Event-ID` if it were cut now.
    pub(crate) fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time, once it was set.
    pub(crate) fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// The comment lines so far, without their colon.
    pub(crate) fn comments(&self) -> &[String] {
        &self.comments
    }

    /// Whether a block or a line has begun that a cut would throw away.
    pub(crate) fn is_amid(&self) -> bool {
        !self.line.is_empty() || !self.data.is_empty() || !self.name.is_empty()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line).into_owned();
        let line = match line.strip_prefix('\u{feff}') {
            Some(rest) if !self.started => rest.to_owned(),
            _ => line,
        };
        self.started = true;
        match line.split_once(':') {
            _ if line.is_empty() => self.dispatch(),
            Some(("", comment)) => self.comments.push(comment.to_owned()),
            Some((field, value)) => self.field(field, value.strip_prefix(' ').unwrap_or(value)),
            None => self.field(&line, ""),
        }
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry = value.parse().ok();
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_event_id.clone_from(&self.id);
        let mut data = std::mem::take(&mut self.data);
        let name = std::mem::take(&mut self.name);
        if data.is_empty() {
            return;
        }
        data.pop();
        let name = if name.is_empty() { "message".to_owned() } else { name };
        self.messages.push(Message { name, data, last_event_id: self.last_event_id.clone() });
    }
}

/// The text as a client sees it: every line break is LF.
pub(crate) fn with_lf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}
