//! [`Grants`]: which topics a token opens.

use std::{fmt, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    claims::Claims,
    denial::Denial,
    granted::{Grant, Granted},
    template::Template,
};
use crate::topic::{TopicError, TopicPattern};

/// Most patterns that a token may hold.
pub(super) const MAX_GRANTS: usize = 64;

/// Where a token says which topics it may subscribe to.
///
/// Asking for a topic that is not among them is refused with 403, for the whole request. A token with more than
/// 64 patterns, or one that could be no topic's, is not valid.
#[derive(Clone)]
pub struct Grants(Kind);

#[derive(Clone)]
enum Kind {
    Nothing,
    Everything,
    Claim(Box<str>),
    Mercure,
    Own(Arc<OwnGrants>),
}

type OwnGrants = dyn Fn(&Claims) -> Result<Vec<TopicPattern>, Denial> + Send + Sync;

impl Grants {
    /// A claim with a list of [patterns](TopicPattern), or with one: `news`, `user/ada`, `news/*`.
    ///
    /// A token without the claim opens no topic.
    pub fn claim(name: impl Into<String>) -> Self {
        Self(Kind::Claim(name.into().into()))
    }

    /// The claim of [Mercure](https://mercure.rocks/spec): `{"mercure": {"subscribe": […]}}`.
    ///
    /// Its entries are topics to the letter, `*` for all, and URI templates in the simple form
    /// (`https://example.com/books/{id}`). A token with a template of any other form is not valid.
    pub fn mercure() -> Self {
        Self(Kind::Mercure)
    }

    /// The application's own rule, over claims of its own type.
    ///
    /// ```
    /// use sse_core::{Grants, TopicPattern};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Mine {
    ///     sub: String,
    ///     tenant: String,
    /// }
    ///
    /// let grants = Grants::from_fn(|claims: Mine| {
    ///     Ok([
    ///         TopicPattern::exact(format!("user/{}", claims.sub))?,
    ///         TopicPattern::prefix(format!("tenant/{}/", claims.tenant))?,
    ///     ])
    /// });
    /// ```
    ///
    /// Names with a part that somebody chose belong in [`TopicPattern::exact`]: a `*` at the end of a user's
    /// name must not become a pattern. A token whose claims are of another form is not valid.
    pub fn from_fn<C, I>(grants: impl Fn(C) -> Result<I, TopicError> + Send + Sync + 'static) -> Self
    where
        C: DeserializeOwned,
        I: IntoIterator<Item = TopicPattern>,
    {
        Self(Kind::Own(Arc::new(move |claims| {
            let claims = claims.parse::<C>().map_err(|_| FORM)?;
            let patterns = grants(claims).map_err(|_| PATTERN)?;
            Ok(patterns.into_iter().take(MAX_GRANTS + 1).collect())
        })))
    }

    /// **Every topic, for everybody with a token.**
    pub fn every_topic() -> Self {
        Self(Kind::Everything)
    }

    /// What this token opens.
    pub(super) fn read(&self, claims: &Claims) -> Result<Granted, Denial> {
        let granted = match &self.0 {
            Kind::Nothing => Granted::Some(Vec::new()),
            Kind::Everything => Granted::All,
            Kind::Claim(name) => {
                let Value::Object(mut all) = claims.parse().map_err(|_| FORM)? else {
                    return Err(FORM);
                };
                let patterns = strings(all.remove(&**name))?;
                Granted::Some(
                    patterns.iter().map(|text| pattern(TopicPattern::new(text))).collect::<Result<_, _>>()?,
                )
            }
            Kind::Mercure => mercure(claims)?,
            Kind::Own(own) => Granted::Some(own(claims)?.into_iter().map(Grant::Pattern).collect()),
        };
        match &granted {
            Granted::Some(grants) if grants.len() > MAX_GRANTS => {
                Err(Denial::Invalid("the token holds more than 64 topic patterns"))
            }
            _ => Ok(granted),
        }
    }
}

/// No topic: for applications without a hub.
impl Default for Grants {
    fn default() -> Self {
        Self(Kind::Nothing)
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Nothing => "Grants(nothing)",
            Kind::Everything => "Grants(everything)",
            Kind::Claim(_) => "Grants(claim)",
            Kind::Mercure => "Grants(mercure)",
            Kind::Own(_) => "Grants(own)",
        })
    }
}

const FORM: Denial = Denial::Invalid("the claim of the topics is of another form");
const PATTERN: Denial = Denial::Invalid("a pattern of the token could be no topic's");

fn pattern(pattern: Result<TopicPattern, TopicError>) -> Result<Grant, Denial> {
    pattern.map(Grant::Pattern).map_err(|_| PATTERN)
}

/// A list of strings, one string, or nothing.
fn strings(value: Option<Value>) -> Result<Vec<String>, Denial> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(many) => serde_json::from_value(many).map_err(|_| FORM),
    }
}

fn mercure(claims: &Claims) -> Result<Granted, Denial> {
    #[derive(Deserialize)]
    struct Outer {
        #[serde(default)]
        mercure: Inner,
    }

    #[derive(Default, Deserialize)]
    struct Inner {
        #[serde(default)]
        subscribe: Vec<String>,
    }

    let Outer { mercure } = claims.parse().map_err(|_| FORM)?;
    if mercure.subscribe.iter().any(|text| text == "*") {
        return Ok(Granted::All);
    }
    let grants = mercure.subscribe.iter().map(|text| {
        if text.contains(['{', '}']) {
            let template = Template::new(text).map(Grant::Template);
            return template.ok_or(Denial::Invalid("a topic template is not of the simple form"));
        }
        pattern(TopicPattern::exact(text))
    });
    Ok(Granted::Some(grants.collect::<Result<_, _>>()?))
}
