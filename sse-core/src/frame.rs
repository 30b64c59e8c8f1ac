//! [`Frame`]: an event encoded once, sent to any number of clients.

use std::{borrow::Cow, fmt, io, num::NonZeroUsize, time::Duration};

use bytes::Bytes;
use memchr::{memchr2, memrchr};

use crate::{
    event::Event,
    id::{ClientId, EventId},
};

/// An [`Event`] as it goes over the wire: comment, `retry`, `event`, `data`, `id`, blank line. Cloning shares
/// the bytes.
///
/// The id stands last because `@microsoft/fetch-event-source` considers an event received as soon as it has read that
/// line: a connection that breaks between an id and its data would lose the event for good.
///
/// Encode once and hand the clones to many streams:
///
/// ```
/// use sse_core::{Event, Frame};
///
/// let frame = Frame::from(&Event::new("one\ntwo").name("lines")?);
/// assert_eq!(frame.as_bytes().as_ref(), b"event: lines\ndata: one\ndata: two\n\n");
/// # Ok::<(), sse_core::EventError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    /// Where the id's text begins; it is the last field.
    id: Option<NonZeroUsize>,
}

impl Frame {
    /// A comment alone: visible on the wire, never delivered by a client.
    ///
    /// It ends with one newline, not two: a blank line after a comment makes some clients report an empty
    /// message.
    pub fn comment(text: &str) -> Self {
        let mut out = Vec::new();
        write_comment(&mut out, text);
        Self { bytes: out.into(), id: None }
    }

    /// The encoded bytes: one whole block, or comment lines.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The encoded bytes.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// How many bytes the frame takes on the wire.
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// One of the hub's frames, from its bytes.
    pub(crate) fn sealed(bytes: Bytes) -> Option<Self> {
        let lines = bytes.strip_suffix(END)?;
        let line = memrchr(b'\n', lines).map_or(0, |end| end + 1);
        let id = lines[line..].starts_with(ID).then(|| NonZeroUsize::new(line + ID.len()));
        Some(Self { id: id.flatten(), bytes })
    }

    /// Its id, if it is one of the hub's.
    pub(crate) fn client_id(&self) -> Option<ClientId> {
        let text = self.bytes.get(self.id?.get()..)?.strip_suffix(END)?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    /// Whether clients are given it as an event; comments alone are not.
    pub(crate) fn is_event(&self) -> bool {
        self.bytes.ends_with(END)
    }

    /// The same event under this id, whatever its own.
    pub(crate) fn under(&self, id: ClientId) -> Self {
        if self.id.is_some() || !self.is_event() {
            return self.with_id(id);
        }
        let mut out = Vec::with_capacity(self.bytes.len() + ID.len() + ClientId::MAX_LEN + 1);
        out.extend_from_slice(&self.bytes[..self.bytes.len() - 1]);
        out.extend_from_slice(ID);
        let at = out.len();
        id.write(&mut out);
        out.extend_from_slice(END);
        Self { bytes: out.into(), id: NonZeroUsize::new(at) }
    }

    /// The same event without its id.
    pub(crate) fn without_id(self) -> Self {
        let Some(at) = self.id else {
            return self;
        };
        let mut out = self.bytes[..at.get() - ID.len()].to_vec();
        out.push(b'\n');
        Self { bytes: out.into(), id: None }
    }

    /// The name of its event; `None` for a plain message.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields().find_map(|(field, name)| (field == "event").then_some(name))
    }

    /// The data of its event, lines joined with LF.
    pub(crate) fn data(&self) -> Cow<'_, str> {
        let mut lines = self.fields().filter(|(field, _)| *field == "data").map(|(_, line)| line);
        let first = lines.next().unwrap_or_default();
        let Some(second) = lines.next() else {
            return first.into();
        };
        let mut data = [first, second].join("\n");
        for line in lines {
            data.push('\n');
            data.push_str(line);
        }
        data.into()
    }

    /// Its event, without an id.
    pub(crate) fn to_event(&self) -> Event {
        let mut event = Event::new(self.data());
        event.name = self.name().map(|name| name.to_owned().into());
        let comment: Vec<&str> =
            self.fields().filter(|(field, _)| field.is_empty()).map(|(_, line)| line).collect();
        event.comment = (!comment.is_empty()).then(|| comment.join("\n").into());
        let retry = self.fields().find_map(|(field, retry)| (field == "retry").then(|| retry.parse().ok()));
        event.retry = retry.flatten().map(Duration::from_millis);
        event
    }

    /// Its lines, as we write them; those of a comment have no name.
    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        text.split('\n').filter_map(|line| line.split_once(": "))
    }

    /// The same event under another id. An event that has none stays as it is.
    pub(crate) fn with_id(&self, id: ClientId) -> Self {
        let Some(at) = self.id else {
            return self.clone();
        };
        let mut out = Vec::with_capacity(at.get() + ClientId::MAX_LEN + END.len());
        out.extend_from_slice(&self.bytes[..at.get()]);
        id.write(&mut out);
        out.extend_from_slice(END);
        Self { bytes: out.into(), id: Some(at) }
    }
}

impl From<&Event> for Frame {
    fn from(event: &Event) -> Self {
        let Some(id) = &event.id else {
            let mut out = write_body(event, 1);
            out.push(b'\n');
            return Self { bytes: out.into(), id: None };
        };
        let mut out = write_body(event, ID.len() + id.len() + END.len());
        out.extend_from_slice(ID);
        let at = out.len();
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(END);
        Self { bytes: out.into(), id: NonZeroUsize::new(at) }
    }
}

impl From<Event> for Frame {
    fn from(event: Event) -> Self {
        Self::from(&event)
    }
}

/// A frame that still lacks its id.
///
/// The hub gives ids under its lock. Everything that takes time, copying the data above all, is done before;
/// the id comes last and has its room.
#[derive(Debug)]
pub(crate) struct Draft(Vec<u8>);

impl Draft {
    pub(crate) fn new(event: &Event) -> Self {
        let mut out = write_body(event, ID.len() + EventId::MAX_LEN + END.len());
        out.extend_from_slice(ID);
        Self(out)
    }

    /// How many bytes it has without the id.
    pub(crate) fn len(&self) -> usize {
        self.0.len() - ID.len()
    }

    /// Its lines, without the id's.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.0[..self.len()]).unwrap_or_default()
    }

    /// One from its [`text`](Self::text); `None` where nothing of ours has written that.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let is_line = |line: &str| {
            let field = line.split_once(": ").map(|(field, _)| field);
            matches!(field, Some("" | "retry" | "event" | "data"))
        };
        if !text.strip_suffix('\n')?.split('\n').all(is_line) || text.contains('\r') {
            return None;
        }
        let mut out = Vec::with_capacity(text.len() + ID.len() + EventId::MAX_LEN + END.len());
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(ID);
        Some(Self(out))
    }

    pub(crate) fn seal(self, id: EventId) -> Frame {
        let Self(mut out) = self;
        let at = out.len();
        id.write(&mut out);
        out.extend_from_slice(END);
        Frame { bytes: out.into(), id: NonZeroUsize::new(at) }
    }
}

const ID: &[u8] = b"id: ";

/// The end of the id's line, and the blank line that ends the block.
const END: &[u8] = b"\n\n";

/// Everything but the id and the blank line, for which there is `room` behind it.
///
/// The data is searched for line breaks once: what is on one line is allocated as large as it gets, other data
/// with room for lines of 64 bytes, of which the rest is given back.
fn write_body(event: &Event, room: usize) -> Vec<u8> {
    let lines = lines(&event.data);
    let slack = if lines.is_one() { 0 } else { DATA.len() * (2 + event.data.len() / 64) };
    let mut out = Vec::with_capacity(head_len(event) + DATA.len() + event.data.len() + 1 + slack + room);
    if let Some(comment) = &event.comment {
        write_comment(&mut out, comment);
    }
    if let Some(retry) = event.retry {
        write_text(&mut out, format_args!("retry: {}\n", retry.as_millis()));
    }
    if let Some(name) = &event.name {
        write_line(&mut out, b"event: ", name);
    }
    if lines.is_one() {
        write_line(&mut out, DATA, &event.data);
        return out;
    }
    for line in lines {
        write_line(&mut out, DATA, line);
    }
    out.reserve_exact(room);
    out.shrink_to(out.len() + room);
    out
}

const DATA: &[u8] = b"data: ";

/// What stands in front of the data, in most cases exactly.
fn head_len(event: &Event) -> usize {
    let comment = event.comment.as_deref().map_or(0, |text| ": \n".len() + text.len());
    let retry = event.retry.map_or(0, |_| "retry: 86400000\n".len());
    let name = event.name.as_deref().map_or(0, |name| "event: \n".len() + name.len());
    comment + retry + name
}

fn write_text(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to a `Vec` cannot fail.
    let _ = io::Write::write_fmt(out, text);
}

fn write_comment(out: &mut Vec<u8>, text: &str) {
    for line in lines(text) {
        write_line(out, b": ", line);
    }
}

/// The space behind the colon is always there: a client takes one away, and a line may begin with its own.
fn write_line(out: &mut Vec<u8>, field: &[u8], line: &str) {
    out.extend_from_slice(field);
    out.extend_from_slice(line.as_bytes());
    out.push(b'\n');
}

/// The lines of a text, ended by CR, LF or CRLF as
/// [HTML §9.2.5](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream) ends
/// them; a text that ends with a line break ends with an empty line.
fn lines(text: &str) -> Lines<'_> {
    Lines { rest: Some(text), end: line_break(text) }
}

struct Lines<'a> {
    rest: Option<&'a str>,
    /// Where the next line ends, unless it is the last.
    end: Option<usize>,
}

fn line_break(text: &str) -> Option<usize> {
    memchr2(b'\r', b'\n', text.as_bytes())
}

impl Lines<'_> {
    fn is_one(&self) -> bool {
        self.end.is_none()
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest?;
        let Some(end) = self.end else {
            self.rest = None;
            return Some(text);
        };
        let break_len = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        let rest = &text[end + break_len..];
        self.rest = Some(rest);
        self.end = line_break(rest);
        Some(&text[..end])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn encode(event: &Event) -> String {
        let frame = Frame::from(event);
        String::from_utf8(frame.into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn blocks_are_written_in_one_order() {
        let event =
            Event::new("x").comment("c").retry(Duration::from_secs(2)).id("7").unwrap().name("n").unwrap();
        assert_eq!(encode(&event), ": c\nretry: 2000\nevent: n\ndata: x\nid: 7\n\n");
    }

    #[test]
    fn an_event_comes_out_of_its_frame_as_it_went_in() {
        for data in ["", "x", " a", "a\nb", "\n\n", "id: 7", "data: x\nevent: y", ": c", "é\u{2028}"] {
            let plain = Event::new(data);
            let full = plain.clone().comment("c: d\n").retry(Duration::from_secs(2)).name("n: m").unwrap();
            for event in [plain, full] {
                let frame = Draft::new(&event).seal(EventId { epoch: 1, seq: 2 });
                let again = Frame::sealed(frame.as_bytes().clone()).unwrap();
                assert_eq!(again, frame);
                assert_eq!(again.to_event(), event);
                assert_eq!(again.client_id(), Some(EventId { epoch: 1, seq: 2 }.into()));
                let id = EventId { epoch: 3, seq: 4 }.into();
                assert_eq!(Frame::from(&event).under(id), frame.with_id(id));
                assert_eq!(frame.under(id), frame.with_id(id));
                assert_eq!(frame.clone().without_id(), Frame::from(&event));
            }
        }
        let comment = Frame::comment("x");
        assert_eq!(comment.under(EventId { epoch: 3, seq: 4 }.into()), comment);
    }

    #[test]
    fn every_line_break_starts_a_data_line() {
        assert_eq!(encode(&Event::new("")), "data: \n\n");
        assert_eq!(encode(&Event::new(" a")), "data:  a\n\n");
        assert_eq!(
            encode(&Event::new("a\rb\nc\r\nd\n\re\r")),
            "data: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\ndata: \n\n"
        );
        assert_eq!(
            encode(&Event::new("x\revent: forged\r\n\r\ndata: y")),
            "data: x\ndata: event: forged\ndata: \ndata: data: y\n\n"
        );
        assert_eq!(encode(&Event::new("\u{2028}\u{85}\u{b}")), "data: \u{2028}\u{85}\u{b}\n\n");
    }

    #[test]
    fn comments_are_lines_without_a_blank_one() {
        assert_eq!(Frame::comment("a\r\nb\n").as_bytes().as_ref(), b": a\n: b\n: \n");
        assert_eq!(Frame::comment("").as_bytes().as_ref(), b": \n");
    }

    #[test]
    fn a_frame_is_allocated_as_large_as_it_is() {
        for data in ["", "one line", &"one\ntwo\r\nthree\r".repeat(50), &"\n".repeat(1000)] {
            let event = Event::new(data).comment("c").retry(Duration::from_secs(2)).name("name").unwrap();
            let out = write_body(&event, 7);
            assert!(out.capacity() >= out.len() + 7);
            assert!(
                out.capacity() <= out.len() + 7 + "86400000".len(),
                "{} of {}",
                out.len(),
                out.capacity()
            );
        }
    }

    #[test]
    fn a_draft_is_the_same_frame_under_an_id_given_later() {
        for seq in [0, 9, 10, 12345, u64::MAX] {
            let id = EventId { epoch: 0xabc, seq };
            let event = Event::new("one\ntwo").name("n").unwrap().comment("c");
            let sealed = Draft::new(&event).seal(id);
            assert_eq!(sealed, Frame::from(&event.id(id.to_string()).unwrap()));
            let other = EventId { epoch: 1, seq: 77 };
            assert_eq!(sealed.with_id(other.into()).with_id(id.into()), sealed);
        }
    }
}
