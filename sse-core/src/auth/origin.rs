//! [`Origins`]: which pages may use a cookie and read the answer, and which hosts this server is.

use super::{
    config_error::ConfigError,
    denial::{Asker, Denial, refuse},
};
use crate::{
    refusal::{Field, Refusal},
    request::RequestHead,
};

/// What an answer to a preflight allows.
const PREFLIGHT: [(&str, &str); 4] = [
    ("access-control-allow-methods", "GET, HEAD, POST"),
    ("access-control-allow-headers", "authorization, cache-control, content-type, last-event-id"),
    ("access-control-max-age", "600"),
    ("vary", "origin, access-control-request-method, access-control-request-headers"),
];

#[derive(Default)]
pub(super) struct Origins {
    /// As browsers write them.
    allowed: Vec<String>,
    /// In lower case, with or without a port; none: any.
    hosts: Vec<String>,
}

impl Origins {
    pub(super) fn new(allowed: Vec<String>, hosts: Vec<String>) -> Result<Self, ConfigError> {
        for origin in &allowed {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let usual = if origin.starts_with("https") { ":443" } else { ":80" };
            if !host.is_some_and(|host| is_host(host) && !host.ends_with(usual)) {
                return Err(ConfigError::Origin(origin.clone()));
            }
        }
        let hosts: Vec<String> = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        if let Some(host) = hosts.iter().find(|host| !is_host(host)) {
            return Err(ConfigError::Host(host.clone()));
        }
        Ok(Self { allowed, hosts })
    }

    /// Header fields that let a page of a listed origin read the answer, and keep caches from mixing origins up.
    pub(super) fn fields(&self, head: &impl RequestHead) -> Vec<Field> {
        let mut fields = Vec::new();
        if self.allowed.is_empty() {
            return fields;
        }
        fields.push(("vary", "origin".into()));
        if let Some(origin) = self.listed(head) {
            fields.push(("access-control-allow-origin", origin.to_owned().into()));
            fields.push(("access-control-allow-credentials", "true".into()));
        }
        fields
    }

    /// Whether a credential that browsers send by themselves counts: only if a page of ours, of our site or on
    /// the list has asked for it, by script.
    pub(super) fn check_ambient(&self, head: &impl RequestHead) -> Result<(), Denial> {
        let mode = text(head, "sec-fetch-mode");
        if !matches!(mode.as_deref(), None | Some("cors" | "same-origin")) {
            return Err(Denial::CrossSite("a cookie, but the request is none of a script"));
        }
        // What changes nothing may come from a neighbour too: one that cannot be read without a listed origin.
        let is_read = matches!(head.method(), "GET" | "HEAD");
        self.check_site(head, is_read)
    }

    /// Whether a page of ours or on the list has asked, or none at all.
    pub(super) fn check_origin(&self, head: &impl RequestHead) -> Result<(), Denial> {
        self.check_site(head, false)
    }

    fn check_site(&self, head: &impl RequestHead, allows_neighbours: bool) -> Result<(), Denial> {
        if self.listed(head).is_some() {
            return Ok(());
        }
        let site = text(head, "sec-fetch-site");
        let near = match site.as_deref() {
            None | Some("none") => false,
            Some("same-origin") => true,
            Some("same-site") if allows_neighbours => true,
            _ => return Err(Denial::CrossSite("the request is another site's")),
        };
        let mut origins = head.headers("origin");
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if origin != b"null" && (near || is_own(head, origin)) => Ok(()),
            _ => Err(Denial::CrossSite("the origin is not on the list")),
        }
    }

    /// Whether the request is meant for this server: a name that was made to point here is not
    /// (DNS rebinding).
    pub(super) fn check_host(&self, head: &impl RequestHead) -> Result<(), Denial> {
        if self.hosts.is_empty() {
            return Ok(());
        }
        let host = head.host().map(|host| host.to_ascii_lowercase()).unwrap_or_default();
        let bare = without_port(&host);
        if head.headers("host").nth(1).is_none() && self.hosts.iter().any(|own| *own == host || own == bare) {
            Ok(())
        } else {
            Err(Denial::Host)
        }
    }

    /// The answer to `OPTIONS`.
    pub(super) fn preflight(&self, head: &impl RequestHead) -> Refusal {
        let fields = self.fields(head);
        if let Err(denial) = self.check_host(head) {
            return refuse(denial, &fields, Asker::default());
        }
        if self.listed(head).is_none() {
            let denial = Denial::CrossSite("a preflight, but the origin is not on the list");
            return refuse(denial, &fields, Asker::default());
        }
        let answer =
            fields.into_iter().fold(Refusal::empty(), |answer, (name, value)| answer.with(name, value));
        PREFLIGHT.into_iter().fold(answer, |answer, (name, value)| answer.with(name, value))
    }

    /// The request's origin, if it has one and it is on the list.
    fn listed(&self, head: &impl RequestHead) -> Option<&str> {
        let mut origins = head.headers("origin");
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return None;
        };
        self.allowed.iter().map(String::as_str).find(|listed| listed.as_bytes() == origin)
    }
}

/// Whether an origin is the host that was asked.
fn is_own(head: &impl RequestHead, origin: &[u8]) -> bool {
    let Some(host) = head.host().map(|host| host.to_ascii_lowercase()) else {
        return false;
    };
    let own = |scheme: &[u8], port: &str| {
        let authority = origin.strip_prefix(scheme);
        authority.is_some_and(|own| {
            own == host.as_bytes() || Some(own) == host.strip_suffix(port).map(str::as_bytes)
        })
    };
    own(b"https://", ":443") || own(b"http://", ":80")
}

fn text(head: &impl RequestHead, name: &str) -> Option<String> {
    let mut fields = head.headers(name);
    // Twice is not absent.
    fields.next().map(|value| match fields.next() {
        None => String::from_utf8_lossy(value).to_ascii_lowercase(),
        Some(_) => String::new(),
    })
}

/// A name or address in lower case, with or without a port.
fn is_host(text: &str) -> bool {
    let (name, port) = (without_port(text), &text[without_port(text).len()..]);
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let is_address =
        |inner: &str| inner.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
    let named = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => !inner.is_empty() && is_address(inner),
        None => !name.is_empty() && name.bytes().all(is_name),
    };
    named && (port.is_empty() || port[1..].parse::<u16>().is_ok())
}

/// A host without its port; an address in brackets has colons of its own.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}
