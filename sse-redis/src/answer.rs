//! What a server answers, taken apart.

use redis::Value;

use crate::trouble::Trouble;

/// The items of a list; none where there is no list.
pub(crate) fn list(value: Value) -> Result<Vec<Value>, Trouble> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        _ => Err(Trouble::Unexpected("no list where one was to be")),
    }
}

/// The items of a list of so many.
pub(crate) fn exactly<const N: usize>(value: Value) -> Result<[Value; N], Trouble> {
    list(value)?.try_into().map_err(|_| Trouble::Unexpected("a list of another length"))
}

pub(crate) fn bytes(value: Value) -> Result<Vec<u8>, Trouble> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        Value::VerbatimString { text, .. } => Ok(text.into_bytes()),
        _ => Err(Trouble::Unexpected("no text where one was to be")),
    }
}

pub(crate) fn text(value: Value) -> Result<String, Trouble> {
    String::from_utf8(bytes(value)?).map_err(|_| Trouble::Unexpected("a text that is not UTF-8"))
}

pub(crate) fn number(value: Value) -> Result<u64, Trouble> {
    const WRONG: Trouble = Trouble::Unexpected("no number where one was to be");
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| WRONG),
        value => text(value)?.parse().map_err(|_| WRONG),
    }
}

/// Milliseconds of what `TIME` answers.
pub(crate) fn time(value: Value) -> Result<u64, Trouble> {
    let [seconds, micros] = exactly(value)?;
    Ok(number(seconds)?.saturating_mul(1000).saturating_add(number(micros)? / 1000))
}

/// A field of what `INFO` answers.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
