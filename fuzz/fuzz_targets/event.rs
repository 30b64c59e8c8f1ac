//! Whatever goes into an event comes back from a client's parser, or is refused where it is built.

#![no_main]

#[path = "../../sse-core/tests/spec/mod.rs"]
mod spec;

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use spec::{Message, Parser, with_lf};
use sse_core::{Event, Frame};

// The first byte says which parts there are, `0xff` stands between them; the rest is the data.
fuzz_target!(|input: &[u8]| {
    let Some((&parts, rest)) = input.split_first() else {
        return;
    };
    let mut texts = rest.splitn(4, |&b| b == 0xff).map(|text| String::from_utf8_lossy(text).into_owned());
    let mut text = |bit: u8| (parts & bit != 0).then(|| texts.next()).flatten();
    let (name, id, comment) = (text(1), text(2), text(4));
    let data = texts.next().unwrap_or_default();

    let mut event = Event::new(data.clone());
    let mut expected = Message { name: "message".into(), data: with_lf(&data), last_event_id: String::new() };
    if let Some(name) = name
        && let Ok(named) = event.clone().name(name.clone())
    {
        event = named;
        expected.name = name;
    }
    if let Some(id) = id
        && let Ok(with_id) = event.clone().id(id.clone())
    {
        event = with_id;
        expected.last_event_id = id;
    }
    if let Some(comment) = &comment {
        event = event.comment(comment.clone());
    }
    let retry = (parts & 8 != 0).then(|| u64::from(parts) * 1000);
    if let Some(retry) = retry {
        event = event.retry(Duration::from_millis(retry));
    }

    let bytes = Frame::from(event).into_bytes();
    let text = std::str::from_utf8(&bytes).expect("UTF-8");
    assert!(!text.contains('\r') && !text.starts_with('\n'));
    assert_eq!(text.find("\n\n"), Some(text.len() - 2), "one blank line, at the end");
    let mut parser = Parser::default();
    parser.push(&bytes);
    assert_eq!(parser.messages(), [expected.clone()]);
    assert_eq!(parser.retry(), retry);

    // Behind other things, in pieces, and twice.
    let mut stream = b":\nretry: 1000\n".to_vec();
    stream.extend_from_slice(Frame::comment(comment.as_deref().unwrap_or_default()).as_bytes());
    stream.extend_from_slice(&bytes);
    stream.extend_from_slice(b":\n");
    stream.extend_from_slice(&bytes);
    let mut parser = Parser::default();
    stream.chunks(usize::from(parts >> 4) + 1).for_each(|piece| parser.push(piece));
    assert_eq!(parser.messages(), [expected.clone(), expected]);
    assert!(!parser.is_amid());
});
