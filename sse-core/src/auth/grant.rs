//! [`Grants`]: which topics a token opens.

mod lookup;
mod mercure;

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    claims::Claims,
    denial::Denial,
    granted::{Grant, Granted},
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
    Claim(Words),
    Scope(Words),
    Mercure,
    MercureV1,
    Own(Arc<OwnGrants>),
}

/// A claim that holds words, and what each of them opens.
#[derive(Clone)]
struct Words {
    path: Arc<[Box<str>]>,
    topics: Arc<OwnWords>,
}

type OwnWords = dyn Fn(&str) -> Result<Vec<TopicPattern>, TopicError> + Send + Sync;

type OwnGrants = dyn Fn(&Claims) -> Result<Vec<TopicPattern>, Denial> + Send + Sync;

impl Grants {
    /// A claim with a list of [patterns](TopicPattern), or with one: `news`, `user/ada`, `news/*`.
    ///
    /// The name is taken to the letter, dots and all: `https://app.example/topics` is one. A token without the claim
    /// opens no topic; one that has it twice, or in another form, is not valid.
    pub fn claim(name: impl Into<String>) -> Self {
        Self::claim_path([name])
    }

    /// [`claim`](Self::claim), where it stands in another one: `["sse", "topics"]` for `{"sse": {"topics": […]}}`.
    ///
    /// Roles and groups are not names of topics: [`claim_words`](Self::claim_words) makes topics of them.
    pub fn claim_path<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::claim_words(path, |pattern| TopicPattern::new(pattern).map(Some))
    }

    /// A claim with a list of words of the provider's own, or with one, such as roles and groups; the function says which
    /// topics a word opens, and is asked for every word. The path is that of [`claim_path`](Self::claim_path), and of one
    /// name for a claim that stands in no other.
    ///
    /// ```
    /// use sse_core::{Grants, TopicPattern};
    ///
    /// // As Keycloak has them: {"realm_access": {"roles": ["editor", "offline_access"]}}
    /// let grants = Grants::claim_words(["realm_access", "roles"], |role| {
    ///     Ok(match role {
    ///         "editor" => vec![TopicPattern::exact("news")?, TopicPattern::prefix("drafts/")?],
    ///         "reader" => vec![TopicPattern::exact("news")?],
    ///         _ => vec![],
    ///     })
    /// });
    /// // By a prefix, and each group as the one topic of its name: {"groups": ["team:red"]}
    /// let grants = Grants::claim_words(["groups"], |group| {
    ///     group.strip_prefix("team:").map(|team| TopicPattern::exact(format!("team/{team}"))).transpose()
    /// });
    /// ```
    ///
    /// **Names that somebody could choose belong in [`TopicPattern::exact`]**, as the second does it: a group that is
    /// called `*` must not open every topic. A token is not valid where the function gives an error, where its words open
    /// more than 64 patterns together, and where the claim is there twice or in another form.
    pub fn claim_words<S, I>(
        path: impl IntoIterator<Item = S>,
        topics: impl Fn(&str) -> Result<I, TopicError> + Send + Sync + 'static,
    ) -> Self
    where
        S: Into<String>,
        I: IntoIterator<Item = TopicPattern>,
    {
        Self(Kind::Claim(Words::new(path, topics)))
    }

    /// The words of the claim `scope`, which spaces separate
    /// ([RFC 8693 §4.2](https://www.rfc-editor.org/rfc/rfc8693#section-4.2),
    /// [RFC 9068 §2.2.3](https://www.rfc-editor.org/rfc/rfc9068#section-2.2.3)): what follows the prefix is a
    /// [pattern](TopicPattern). With `sse:` the scope `openid sse:news sse:team/*` opens `news` and all that begins with
    /// `team/`; words without the prefix are not for streams, and open nothing.
    ///
    /// **With an empty prefix every word is a pattern**, `openid` too. A token with the prefix alone for a word, or with a
    /// `scope` that is not a text, is not valid.
    pub fn scope(prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        Self::scope_words("scope", move |word| word.strip_prefix(&*prefix).map(TopicPattern::new).transpose())
    }

    /// The words of a claim which spaces separate, `scope` or whatever the provider calls it (`scp`); the function says
    /// which topics a word opens, as that of [`claim_words`](Self::claim_words).
    ///
    /// Where a provider writes them as a list, they are for `claim_words`.
    pub fn scope_words<I>(
        claim: impl Into<String>,
        topics: impl Fn(&str) -> Result<I, TopicError> + Send + Sync + 'static,
    ) -> Self
    where
        I: IntoIterator<Item = TopicPattern>,
    {
        Self(Kind::Scope(Words::new([claim], topics)))
    }

    /// The claim of Mercure **0.x**, up to the draft
    /// [draft-dunglas-mercure-07](https://datatracker.ietf.org/doc/html/draft-dunglas-mercure-07):
    /// `{"mercure": {"subscribe": […]}}`. For 1.0 there is [`mercure_v1`](Self::mercure_v1).
    ///
    /// Its entries are topics to the letter, `*` for all, and URI templates in the simple form
    /// (`https://example.com/books/{id}`). A token with a template of any other form is not valid.
    ///
    /// The tokens that its documentation shows name neither subject nor expiry, issuer or audience: such are taken with
    /// [`optional_subject`](crate::VerifierBuilder::optional_subject),
    /// [`optional_expiry`](crate::VerifierBuilder::optional_expiry),
    /// [`accept_any_issuer`](crate::VerifierBuilder::accept_any_issuer) and
    /// [`no_audience`](crate::VerifierBuilder::no_audience) alone, each of which says what it costs.
    pub fn mercure() -> Self {
        Self(Kind::Mercure)
    }

    /// The claim of Mercure **1.0**, by §6.4 and §6.7 of
    /// [draft-dunglas-mercure-08](https://datatracker.ietf.org/doc/html/draft-dunglas-mercure-08): authorization details
    /// ([RFC 9396](https://www.rfc-editor.org/rfc/rfc9396)) of the type `https://mercure.rocks/authorization-detail`. The
    /// claim of 0.x means nothing to it, nor this one to [`mercure`](Self::mercure).
    ///
    /// ```json
    /// {"authorization_details": [{
    ///     "type": "https://mercure.rocks/authorization-detail",
    ///     "actions": ["subscribe"],
    ///     "topics": [
    ///         {"match": "https://example.com/news"},
    ///         {"match": "https://example.com/books/:id", "match_type": "urlpattern"}
    ///     ]
    /// }]}
    /// ```
    ///
    /// - Details of other types, and actions other than `subscribe`, open nothing. The types of earlier drafts, as
    ///   `mercure`, are such.
    /// - A `match` is a topic to the letter, or `*` for all. With the `match_type` `urlpattern` it is a URL pattern, **of
    ///   which the simple form is understood**: a path, or one with `http://` or `https://` and a host before it, in which
    ///   `:name` is what is left of one segment, and a `*` at the end any rest. It is for topics that are written alike:
    ///   one that begins with a path is for such topics alone, and none with `..` in it matches any pattern.
    /// - A token is not valid where one detail of this type is malformed, or has a matcher of another type or form: no
    ///   part of it counts. So it is where the claim is no list, or an entry no object with a `type`.
    ///
    /// The draft asks for [`access_token_profile`](crate::VerifierBuilder::access_token_profile), an issuer and an
    /// audience as well: that is for the verifier.
    pub fn mercure_v1() -> Self {
        Self(Kind::MercureV1)
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
            Kind::Nothing => Granted::new([]),
            Kind::Everything => Granted::All,
            Kind::Claim(words) => words.open(list(words.find(claims)?)?.iter().map(String::as_str))?,
            Kind::Scope(words) => match words.find(claims)? {
                None => Granted::new([]),
                Some(Value::String(text)) => words.open(text.split(' ').filter(|word| !word.is_empty()))?,
                Some(_) => return Err(FORM),
            },
            Kind::Mercure => mercure::version_0(claims)?,
            Kind::MercureV1 => mercure::version_1(claims)?,
            Kind::Own(own) => Granted::new(own(claims)?.into_iter().map(Grant::Pattern)),
        };
        match &granted {
            Granted::Some(exact, others) if exact.len() + others.len() > MAX_GRANTS => {
                Err(Denial::Invalid("the token holds more than 64 topic patterns"))
            }
            _ => Ok(granted),
        }
    }
}

impl Words {
    fn new<S, I>(
        path: impl IntoIterator<Item = S>,
        topics: impl Fn(&str) -> Result<I, TopicError> + Send + Sync + 'static,
    ) -> Self
    where
        S: Into<String>,
        I: IntoIterator<Item = TopicPattern>,
    {
        let topics = move |word: &str| Ok(topics(word)?.into_iter().take(MAX_GRANTS + 1).collect());
        Self { path: path.into_iter().map(|name| name.into().into()).collect(), topics: Arc::new(topics) }
    }

    fn find(&self, claims: &Claims) -> Result<Option<Value>, Denial> {
        lookup::find(claims.payload(), &self.path).map_err(|_| FORM)
    }

    /// What these open together, each pattern once.
    fn open<'a>(&self, words: impl Iterator<Item = &'a str>) -> Result<Granted, Denial> {
        let mut opened = Vec::new();
        for word in words {
            for pattern in (self.topics)(word).map_err(|_| PATTERN)? {
                if !opened.contains(&pattern) {
                    opened.push(pattern);
                }
            }
            // Refused for their number by whoever asked.
            if opened.len() > MAX_GRANTS {
                break;
            }
        }
        Ok(Granted::new(opened.into_iter().map(Grant::Pattern)))
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
            Kind::Scope(_) => "Grants(scope)",
            Kind::Mercure => "Grants(mercure 0.x)",
            Kind::MercureV1 => "Grants(mercure 1.0)",
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
fn list(value: Option<Value>) -> Result<Vec<String>, Denial> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(many) => serde_json::from_value(many).map_err(|_| FORM),
    }
}
