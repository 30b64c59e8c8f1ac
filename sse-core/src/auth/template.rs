//! [`Template`]: a URI template in its simple form, as Mercure's claim may hold one.

/// Literal text and variables in turn. A variable stands for one run of characters that need no escape.
pub(super) struct Template(Vec<Part>);

enum Part {
    Literal(Box<str>),
    Variable,
}

impl Template {
    /// Reads `https://example.com/books/{id}`: [RFC 6570 §3.2.2](https://www.rfc-editor.org/rfc/rfc6570) with
    /// names of letters, digits and `_`.
    ///
    /// Nothing for the other forms (`{+path}`, `{?query}`, `{a,b}`), and where it could not be told from the
    /// text where a variable ends: it must be followed by the end or by a character that it cannot stand for.
    /// So matching goes over the text once.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, variable)) = rest.split_once('{') {
            let (name, after) = variable.split_once('}')?;
            let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !named || literal.contains('}') || after.chars().next().is_some_and(is_plain) {
                return None;
            }
            if after.starts_with('{') {
                return None;
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.into()));
            }
            parts.push(Part::Variable);
            rest = after;
        }
        if rest.contains('}') {
            return None;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        Some(Self(parts))
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let rest = self.0.iter().try_fold(text, |rest, part| match part {
            Part::Literal(literal) => rest.strip_prefix(&**literal),
            Part::Variable => {
                let after = rest.trim_start_matches(is_plain);
                (after.len() < rest.len()).then_some(after)
            }
        });
        rest == Some("")
    }
}

/// What a simple expansion leaves as it is, and the escapes that it writes.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '%') || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_one_segment() {
        let books = Template::new("https://example.com/books/{id}").unwrap();
        assert!(books.matches("https://example.com/books/1"));
        assert!(books.matches("https://example.com/books/caf%C3%A9"));
        for other in
            ["https://example.com/books/", "https://example.com/books/1/pages", "https://x/books/1", ""]
        {
            assert!(!books.matches(other), "{other}");
        }
        let pages = Template::new("/books/{id}/pages/{page}.").is_none();
        assert!(pages, "a variable may hold a full stop");
        let pages = Template::new("/books/{id}/pages/{page}").unwrap();
        assert!(pages.matches("/books/a/pages/b") && !pages.matches("/books/a/b/pages/c"));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["{+path}", "{?q}", "{a,b}", "{a}{b}", "{a}b", "{}", "{a", "a}", "{a}}", "{a*}", "{a:3}"]
        {
            assert!(Template::new(text).is_none(), "{text}");
        }
    }
}
