//! What a token opens by the claims of Mercure, of either version.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    super::{
        claims::{Claims, Object, present},
        denial::Denial,
        granted::{Grant, Granted, UrlPattern},
        template::Template,
    },
    FORM, pattern,
};
use crate::topic::TopicPattern;

/// Stands for every topic, in both versions.
const EVERY_TOPIC: &str = "*";

/// The type of an authorization detail that is Mercure's.
const TYPE: &str = "https://mercure.rocks/authorization-detail";

/// By the claim `mercure` of 0.x.
pub(super) fn version_0(claims: &Claims) -> Result<Granted, Denial> {
    #[derive(Deserialize)]
    struct Outer {
        #[serde(default, deserialize_with = "present")]
        mercure: Option<Object<Inner>>,
    }

    #[derive(Default, Deserialize)]
    struct Inner {
        #[serde(default)]
        subscribe: Vec<String>,
    }

    let Outer { mercure } = claims.parse().map_err(|_| FORM)?;
    let topics = mercure.map(|Object(inner)| inner.subscribe).unwrap_or_default();
    if topics.iter().any(|text| text == EVERY_TOPIC) {
        return Ok(Granted::All);
    }
    let grants = topics.iter().map(|text| {
        if text.contains(['{', '}']) {
            let template = Template::new(text).map(Grant::Template);
            return template.ok_or(Denial::Invalid("a topic template is not of the simple form"));
        }
        pattern(TopicPattern::exact(text))
    });
    Ok(Granted::new(grants.collect::<Result<Vec<_>, _>>()?))
}

/// By the claim `authorization_details` of 1.0. All of Mercure's are looked at, whatever they are for: one that is wrong
/// makes the token not valid, or what it opens would be something else than its issuer has meant.
pub(super) fn version_1(claims: &Claims) -> Result<Granted, Denial> {
    #[derive(Deserialize)]
    struct Outer {
        #[serde(default, deserialize_with = "present")]
        authorization_details: Option<Vec<Box<RawValue>>>,
    }

    /// What every detail has (RFC 9396 §2), of whatever type.
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }

    let Outer { authorization_details } = claims.parse().map_err(|_| FORM)?;
    let (mut grants, mut everything) = (Vec::new(), false);
    for json in authorization_details.iter().flatten() {
        let Object(Typed { kind }) = serde_json::from_str(json.get()).map_err(|_| FORM)?;
        if kind != TYPE {
            continue;
        }
        let Object(detail): Object<Detail> = serde_json::from_str(json.get()).map_err(|_| FORM)?;
        if detail.actions.is_empty() || detail.topics.is_empty() {
            return Err(FORM);
        }
        let subscribes = detail.actions.iter().any(|action| action == "subscribe");
        for Object(topic) in detail.topics {
            match topic.grant()? {
                _ if !subscribes => {}
                Some(grant) => grants.push(grant),
                None => everything = true,
            }
        }
    }
    Ok(if everything { Granted::All } else { Granted::new(grants) })
}

#[derive(Deserialize)]
struct Detail {
    /// One that is not known allows nothing.
    actions: Vec<String>,
    topics: Vec<Object<Matcher>>,
    /// For other subscribers to see; there is no such thing here.
    #[serde(rename = "payload", default, deserialize_with = "present")]
    _payload: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Matcher {
    #[serde(rename = "match")]
    text: String,
    #[serde(default, deserialize_with = "present")]
    match_type: Option<String>,
}

impl Matcher {
    /// What it opens; nothing for every topic.
    fn grant(&self) -> Result<Option<Grant>, Denial> {
        let is_exact = match self.match_type.as_deref() {
            None | Some("exact") => true,
            Some("urlpattern") => false,
            Some(_) => return Err(Denial::Invalid("a matcher is of a type that is not known")),
        };
        if self.text == EVERY_TOPIC {
            return Ok(None);
        }
        if is_exact {
            return pattern(TopicPattern::exact(&self.text)).map(Some);
        }
        let url = UrlPattern::new(&self.text).map(Grant::Url);
        url.map(Some).ok_or(Denial::Invalid("a URL pattern is not of the simple form"))
    }
}
