//! [`Credential`]: where a request carries its token.

use percent_encoding::percent_decode_str;

use super::{cookie, denial::Denial, ticket, verifier::MAX_TOKEN};
use crate::{query::query_values, request::RequestHead};

/// What a request was let in with, or wants to be. Never shown.
pub(super) enum Credential {
    Header(String),
    /// One or more of the same name.
    Cookies(Vec<String>),
    Query(String),
    Ticket(Shown),
}

/// A ticket in the query, the cookies that may be the one that its use has set, and what is asked for with it.
pub(super) struct Shown {
    pub(super) ticket: String,
    /// By what its cookie is named.
    pub(super) tag: String,
    pub(super) sessions: Vec<String>,
    /// The cookies of other tickets: their tags and their values.
    pub(super) others: Vec<(String, String)>,
    pub(super) path: String,
    /// GET or HEAD.
    pub(super) is_read: bool,
    pub(super) is_head: bool,
}

impl Credential {
    /// Whether the browser has sent it by itself, whoever's page asked.
    pub(super) fn is_ambient(&self) -> bool {
        match self {
            Self::Cookies(_) => true,
            Self::Ticket(shown) => !shown.sessions.is_empty(),
            Self::Header(_) | Self::Query(_) => false,
        }
    }
}

/// Where to look, in this order after the header `Authorization`.
pub(super) struct Sources {
    pub(super) cookie: Option<String>,
    /// The name that the cookies of tickets begin with.
    pub(super) ticket_cookie: Option<String>,
    pub(super) query: bool,
}

impl Sources {
    /// The first that is there decides; what it is worth is found out later, and there is no second try.
    pub(super) fn read(&self, head: &impl RequestHead) -> Result<Credential, Denial> {
        let query = head.query().unwrap_or_default();
        let in_query = one(query_values(query, &["access_token"]))?;
        let ticket = match self.ticket_cookie {
            Some(_) => one(query_values(query, &["ticket"]))?,
            None => None,
        };
        if let Some(token) = bearer(head)? {
            // RFC 6750 §2: one method a request, whether or not the other would have been looked at.
            if in_query.is_some() || ticket.is_some() {
                return Err(Denial::Malformed("a token in the header and another in the query"));
            }
            return Ok(Credential::Header(token));
        }
        let cookies = |name: &str| cookie::values(head, name).ok_or(TOO_MANY);
        let tokens = self.cookie.as_deref().map(cookies).transpose()?.unwrap_or_default();
        if !tokens.is_empty() {
            return Ok(Credential::Cookies(tokens.into_iter().map(checked).collect::<Result<_, _>>()?));
        }
        if let Some(prefix) = &self.ticket_cookie
            && let Some(ticket) = ticket
        {
            let ticket = checked(ticket)?;
            let tag = ticket::tag(&ticket);
            let sessions = cookies(&ticket::cookie_name(prefix, &tag))?;
            let mut others = cookie::all(head, &ticket::cookie_name(prefix, ""));
            others.retain(|(other, _)| *other != tag);
            let is_head = head.method() == "HEAD";
            let is_read = is_head || head.method() == "GET";
            let path = head.path().to_owned();
            return Ok(Credential::Ticket(Shown { ticket, tag, sessions, others, path, is_read, is_head }));
        }
        match in_query.filter(|_| self.query) {
            Some(token) => Ok(Credential::Query(checked(token)?)),
            None => Err(Denial::Missing),
        }
    }
}

/// The query string without what is secret in it, if anything is.
pub(super) fn redacted(query: &str) -> Option<String> {
    let secret = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Near misses too: what is not taken for a ticket here is still one.
        let name = percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
        match name.trim_matches(|letter: char| !letter.is_ascii_alphanumeric()) {
            "access_token" => !value.is_empty(),
            "ticket" => holds_secret(&percent_decode_str(value).decode_utf8_lossy()),
            _ => false,
        }
    };
    let redact = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if secret(pair) => format!("{name}=-"),
        _ => pair.to_owned(),
    };
    query.split('&').any(secret).then(|| query.split('&').map(redact).collect::<Vec<_>>().join("&"))
}

/// Whether a ticket may stand in it, or a token in a ticket's place. An application may have tickets of its own.
fn holds_secret(text: &str) -> bool {
    let runs = text.split(|letter: char| !letter.is_ascii_hexdigit());
    runs.map(str::len).max() >= Some(ticket::LEN) || text.len() >= 2 * ticket::LEN
}

/// The token in `Authorization: Bearer`; other schemes are somebody else's.
fn bearer(head: &impl RequestHead) -> Result<Option<String>, Denial> {
    let mut fields = head.headers("authorization");
    let value = match (fields.next(), fields.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        _ => return Err(Denial::Malformed("more than one header Authorization")),
    };
    let Some((scheme, rest)) = value.split_at_checked("bearer".len()) else {
        return Ok(None);
    };
    // With another letter it is another scheme; with a tab or a comma it is this one, malformed.
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first().is_some_and(is_letter) {
        return Ok(None);
    }
    let token = match rest {
        [b' ', token @ ..] => token.trim_ascii(),
        _ => b"",
    };
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    if token.is_empty() || !token.iter().all(is_token) {
        return Err(Denial::Malformed("the header Authorization is malformed"));
    }
    checked(String::from_utf8_lossy(token).into_owned()).map(Some)
}

const TOO_MANY: Denial = Denial::Malformed("too many cookies of one name");

fn one(mut values: impl Iterator<Item = Option<String>>) -> Result<Option<String>, Denial> {
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(Some(value)), None) => Ok(Some(value).filter(|value| !value.is_empty())),
        _ => Err(Denial::Malformed("a token in the query stands there twice or is malformed")),
    }
}

fn checked(token: String) -> Result<String, Denial> {
    if token.len() > MAX_TOKEN { Err(Denial::Malformed("the token is longer than 8 KiB")) } else { Ok(token) }
}
