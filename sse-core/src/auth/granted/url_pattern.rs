//! [`UrlPattern`]: a URL pattern in its simple form, as a token of Mercure 1.0 may hold one.

use crate::topic::Topic;

/// Literal text and segments in turn, and perhaps any rest.
///
/// Topics are compared as they are written, where [the standard](https://urlpattern.spec.whatwg.org) reads both as URLs
/// first. So a topic that would be read as another one (`/a/../b`, `/a\b`) matches nothing, and two that only differ in
/// how they are written (`%7E`, `~`) are two: what matches here does so there.
pub(in super::super) struct UrlPattern {
    parts: Vec<Part>,
    any_rest: bool,
}

enum Part {
    Literal(Box<str>),
    Segment,
}

impl UrlPattern {
    /// Reads `https://example.com/books/:id`, `/books/:id/pages`, `https://example.com/users/42/*`: a scheme (`http` or
    /// `https`) and a host, or neither; a path, in which `:name` stands for a segment's rest, and `*` at the end for any.
    ///
    /// Nothing for the other forms, so matching goes over the text once.
    pub(in super::super) fn new(text: &str) -> Option<Self> {
        let topic = Topic::new(text).ok()?;
        let path = path(text)?;
        let (path, any_rest) = path.strip_suffix('*').map_or((path, false), |path| (path, true));
        if path.contains(['*', '+', '?', '#', '{', '}', '(', ')']) || !is_read_as_written(topic.as_str()) {
            return None;
        }
        let whole = text.strip_suffix('*').unwrap_or(text);
        let (mut parts, mut names) = (Vec::new(), Vec::new());
        let (origin, mut rest) = whole.split_at(whole.len() - path.len());
        let mut before = origin.to_owned();
        while let Some((literal, variable)) = rest.split_once(':') {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
            let after = variable.trim_start_matches(is_name);
            let name = &variable[..variable.len() - after.len()];
            let ends = after.starts_with('/') || (after.is_empty() && !any_rest);
            if name.is_empty()
                || name.starts_with(|c: char| c.is_ascii_digit())
                || names.contains(&name)
                || !ends
            {
                return None;
            }
            names.push(name);
            before.push_str(literal);
            parts.push(Part::Literal(std::mem::take(&mut before).into()));
            parts.push(Part::Segment);
            rest = after;
        }
        before.push_str(rest);
        parts.push(Part::Literal(before.into()));
        Some(Self { parts, any_rest })
    }

    pub(in super::super) fn matches(&self, topic: &str) -> bool {
        let rest = self.parts.iter().try_fold(topic, |rest, part| match part {
            Part::Literal(literal) => rest.strip_prefix(&**literal),
            Part::Segment => {
                let after = rest.trim_start_matches(|c| !is_end(c) && c != '/');
                (after.len() < rest.len()).then_some(after)
            }
        });
        // A pattern that says nothing of query and fragment matches any.
        let is_whole = |rest: &str| self.any_rest || rest.is_empty() || rest.starts_with(is_end);
        rest.is_some_and(is_whole) && is_read_as_written(topic)
    }
}

/// The path of a pattern that begins with one, or with a scheme and a host without variables.
fn path(text: &str) -> Option<&str> {
    if text.starts_with('/') {
        return Some(text);
    }
    let after = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let (host, path) = after.split_at(after.find('/')?);
    let (name, port) = host.split_once(':').unwrap_or((host, "1"));
    let is_host =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (is_host && is_port).then_some(path)
}

/// Where a path ends.
fn is_end(c: char) -> bool {
    c == '?' || c == '#'
}

/// Whether a URL's path is what stands there: no segment that takes others away, no character that is dropped or turned
/// into another, no host in place of a path.
fn is_read_as_written(text: &str) -> bool {
    let path = text.split(is_end).next().unwrap_or_default();
    let is_dots = |segment: &str| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    };
    !text.starts_with("//") && !text.contains(['\\', ' ']) && !path.split('/').any(is_dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_one_segment() {
        let books = UrlPattern::new("https://example.com/books/:id").unwrap();
        for topic in ["1", "caf%C3%A9", "café", "a.b", "1?x=/y", "1#z", "a:b", "*", ":id"] {
            assert!(books.matches(&format!("https://example.com/books/{topic}")), "{topic}");
        }
        for topic in ["", "1/2", "1/", "..", ".", "%2E%2e", ".%2e", "a\\b", "?x", "#", " ", "1 "] {
            assert!(!books.matches(&format!("https://example.com/books/{topic}")), "{topic}");
        }
        for topic in [
            "https://example.com/books",
            "http://example.com/books/1",
            "https://example.com.evil/books/1",
            "https://example.com/a/../books/1",
            "x https://example.com/books/1",
            "/books/1",
        ] {
            assert!(!books.matches(topic), "{topic}");
        }
        let pages = UrlPattern::new("/books/b-:id/pages/:page/").unwrap();
        assert!(pages.matches("/books/b-1/pages/2/") && !pages.matches("/books/b-/pages/2/"));
        assert!(!pages.matches("/books/b-1/pages/2") && !pages.matches("/books/1/pages/2/"));
    }

    #[test]
    fn a_star_at_the_end_is_any_rest() {
        let own = UrlPattern::new("https://example.com/users/42/*").unwrap();
        for topic in ["", "a", "a/b", "a/b?c#d"] {
            assert!(own.matches(&format!("https://example.com/users/42/{topic}")), "{topic}");
        }
        for topic in ["", "0/a", "/../43/a", "/%2e%2e/43", "\\..\\43"] {
            assert!(!own.matches(&format!("https://example.com/users/42{topic}")), "{topic}");
        }
        // Of this host, and not `//host/path`.
        let all = UrlPattern::new("/*").unwrap();
        assert!(all.matches("/a/b") && !all.matches("//evil.example/a") && !all.matches("a"));
        assert!(UrlPattern::new("/books*").unwrap().matches("/bookshelf/1"));
        assert!(
            UrlPattern::new("http://localhost:8080/:a/x*").unwrap().matches("http://localhost:8080/1/xy/z")
        );
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "*",
            "books/:id",
            "//example.com/:id",
            "https://example.com",
            "https:///a",
            "https://*.example.com/a",
            "https://:host/a",
            "https://example.com:*/a",
            "https://example.com:/a",
            "https://user@example.com/a",
            "https://[::1]/a",
            ":scheme://example.com/a",
            "*://example.com/a",
            "data:text/plain,a",
            "/a/*/b",
            "/a/**",
            "/:a*",
            "/:a?",
            "/:a+",
            "/:a(\\d+)",
            "/(a|b)",
            "/{a}",
            "/a{b}?",
            "/:a:b",
            "/:a.json",
            "/:a-b",
            "/:",
            "/::a",
            "/:1",
            "/:é",
            "/:a/:a",
            "/a?b=:c",
            "/a#b",
            "/a\\:b",
            "/a/../b",
            "/a/%2E/b",
            "/a b",
            "/a+b",
            "/a\n",
        ] {
            assert!(UrlPattern::new(text).is_none(), "{text}");
        }
        assert!(UrlPattern::new(&format!("/{}", "a".repeat(256))).is_none());
    }

    /// What another library says, which follows the standard.
    #[test]
    fn what_matches_here_does_so_by_the_standard() {
        let data: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/url_patterns.json")).unwrap();
        let topics: Vec<&str> =
            data["topics"].as_array().unwrap().iter().map(|topic| topic.as_str().unwrap()).collect();
        let (mut understood, mut both) = (0, 0);
        for (text, answers) in data["patterns"].as_object().unwrap() {
            let Some(pattern) = UrlPattern::new(text) else { continue };
            understood += 1;
            let digits = answers.as_str().unwrap_or_else(|| panic!("{text} is none by the standard"));
            let bits: String =
                digits.chars().map(|digit| format!("{:04b}", digit.to_digit(16).unwrap())).collect();
            let bits = bits.trim_start_matches('0').as_bytes();
            assert_eq!(bits.len(), topics.len() + 1);
            for (topic, bit) in topics.iter().zip(&bits[1..]) {
                match (pattern.matches(topic), *bit == b'1') {
                    (true, false) => panic!("{text} matches {topic} here alone"),
                    (true, true) => both += 1,
                    // Where both are written alike, nothing is left out.
                    (false, true) => {
                        let origin = &text[..text.len() - path(text).unwrap().len()];
                        let is_alike = topic.strip_prefix(origin).is_some_and(|path| path.starts_with('/'));
                        let is_plain = is_read_as_written(topic) && !topic.contains('%');
                        assert!(!(is_alike && is_plain), "{text} does not match {topic}");
                    }
                    (false, false) => {}
                }
            }
        }
        assert!(understood >= 40 && both >= 300, "{understood} {both}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(
            text in "(https://a|/|:|:a|:b|\\*|\\.|[a-c]|é|%2e|\\?|#|\\PC){0,10}",
            topic in "(https://a|/|\\.|[a-c]|é|%2e|\\?|#|\\PC){0,10}",
        ) {
            if let Some(pattern) = UrlPattern::new(&text) {
                pattern.matches(&topic);
                // Without anything that stands for something else it is its own topic.
                if !text.contains([':', '*']) {
                    assert!(pattern.matches(&text), "{text}");
                }
            }
        }
    }
}
