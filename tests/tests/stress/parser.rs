//! A client's parser, written from
//! [HTML §9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation) alone,
//! line by line so that a debug build keeps up.

use std::io::BufRead as _;

/// What a listener is given.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) id: String,
}

#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    name: String,
    data: String,
    id: String,
    last_event_id: String,
    messages: Vec<Message>,
}

impl Parser {
    /// A client that comes back with this id.
    pub(crate) fn resuming(id: &str) -> Self {
        Self { id: id.to_owned(), last_event_id: id.to_owned(), ..Self::default() }
    }

    /// Takes the bytes in any pieces.
    ///
    /// # Errors
    /// What we never send, although the standard permits it or lets it pass.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            bytes.read_until(b'\n', &mut self.line).map_err(|error| error.to_string())?;
            if self.line.pop_if(|last| *last == b'\n').is_some() {
                let line = std::mem::take(&mut self.line);
                let line = std::str::from_utf8(&line).map_err(|_| "a line is not UTF-8".to_owned())?;
                self.take(line)?;
            }
        }
        Ok(())
    }

    /// The messages since the last call.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// What a client would send as `Last-Event-ID` if it were cut now.
    pub(crate) fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Whether a block or a line has begun that an end would throw away.
    pub(crate) fn is_amid(&self) -> bool {
        !(self.line.is_empty()
            && self.data.is_empty()
            && self.name.is_empty()
            && self.id == self.last_event_id)
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        if line.contains('\r') {
            return Err(format!("a carriage return: {line:?}"));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => self.dispatch(),
            "" => {}
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" => value.clone_into(&mut self.id),
            "retry" if value.parse::<u64>().is_ok() => {}
            _ => return Err(format!("a line of no meaning: {line:?}")),
        }
        Ok(())
    }

    fn dispatch(&mut self) {
        self.last_event_id.clone_from(&self.id);
        let mut data = std::mem::take(&mut self.data);
        let name = std::mem::take(&mut self.name);
        if data.pop().is_some() {
            self.messages.push(Message { name, data, id: self.last_event_id.clone() });
        }
    }
}
