//! Reading a query string.

use percent_encoding::percent_decode;

/// The values of the parameters named `keys` in a query string, in order; `None` where a value is not
/// `application/x-www-form-urlencoded` UTF-8.
pub(crate) fn query_values<'a>(
    query: &'a str,
    keys: &'a [&str],
) -> impl Iterator<Item = Option<String>> + 'a {
    query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        keys.contains(&key).then(|| decode(value))
    })
}

fn decode(value: &str) -> Option<String> {
    let spaced = value.replace('+', " ");
    let escapes_are_whole = spaced.split('%').skip(1).all(|rest| {
        let hex = rest.as_bytes().iter().take(2).filter(|b| b.is_ascii_hexdigit());
        hex.count() == 2
    });
    if !escapes_are_whole {
        return None;
    }
    percent_decode(spaced.as_bytes()).decode_utf8().ok().map(Into::into)
}
