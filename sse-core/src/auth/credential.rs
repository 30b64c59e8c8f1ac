//! [`Credential`]: where a request carries its token.

use super::{denial::Denial, ticket, verifier::MAX_TOKEN};
use crate::{request::RequestHead, topic::query_values};

/// What a request was let in with, or wants to be. Never shown.
pub(super) enum Credential {
    Header(String),
    Cookie(String),
    Query(String),
    /// A ticket in the query, and the cookie that its first use has set.
    Ticket {
        ticket: String,
        session: Option<String>,
    },
}

impl Credential {
    /// Whether the browser has sent it by itself, whoever's page asked.
    pub(super) fn is_ambient(&self) -> bool {
        match self {
            Self::Cookie(_) => true,
            Self::Ticket { session, .. } => session.is_some(),
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
    pub(super) fn read(&self, head: &dyn RequestHead) -> Result<Credential, Denial> {
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
        if let Some(name) = &self.cookie
            && let Some(token) = cookie(head, name)?
        {
            return Ok(Credential::Cookie(checked(token)?));
        }
        if let Some(prefix) = &self.ticket_cookie
            && let Some(ticket) = ticket
        {
            let session = cookie(head, &ticket::cookie_name(prefix, &ticket))?;
            return Ok(Credential::Ticket { ticket: checked(ticket)?, session });
        }
        match in_query.filter(|_| self.query) {
            Some(token) => Ok(Credential::Query(checked(token)?)),
            None => Err(Denial::Missing),
        }
    }
}

/// The token in `Authorization: Bearer`; other schemes are somebody else's.
fn bearer(head: &dyn RequestHead) -> Result<Option<String>, Denial> {
    let fields = head.headers("authorization");
    let value = match fields.as_slice() {
        [] => return Ok(None),
        [value] => *value,
        _ => return Err(Denial::Malformed("more than one header Authorization")),
    };
    let Some((scheme, rest)) = value.split_at_checked("bearer".len()) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first().is_some_and(|byte| *byte != b' ') {
        return Ok(None);
    }
    let token = rest.trim_ascii();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    if token.is_empty() || !token.iter().all(is_token) {
        return Err(Denial::Malformed("the header Authorization is malformed"));
    }
    checked(String::from_utf8_lossy(token).into_owned()).map(Some)
}

/// The value of a cookie. Two of one name are refused: it cannot be told which of them the site has set.
fn cookie(head: &dyn RequestHead, name: &str) -> Result<Option<String>, Denial> {
    let mut found = None;
    for pair in head.headers("cookie").into_iter().flat_map(|field| field.split(|byte| *byte == b';')) {
        let Some(value) = pair.trim_ascii().strip_prefix(name.as_bytes()) else {
            continue;
        };
        let Some(value) = value.strip_prefix(b"=") else {
            continue;
        };
        if found.replace(value).is_some() {
            return Err(Denial::Malformed("two cookies of one name"));
        }
    }
    // An empty one is what some sites leave behind when they sign out.
    Ok(found.filter(|value| !value.is_empty()).map(|value| String::from_utf8_lossy(value).into_owned()))
}

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
