//! [`Auth`]: who may open which streams, and for how long.

mod algorithm;
mod authorized;
mod builder;
mod claims;
mod config_error;
mod cookie;
mod credential;
mod denial;
mod digest;
mod grant;
#[cfg(feature = "jwks")]
mod jwks;
mod key;
mod key_error;
mod key_set;
mod keys;
mod material;
mod open;
mod origin;
mod pem;
mod per_subject;
mod recent;
mod revocation;
mod revoked;
mod template;
mod ticket;
mod ticket_store;
mod token_header;
mod verifier;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

#[cfg(feature = "jwks")]
pub use self::jwks::FetchedKeys;
pub use self::{
    algorithm::Algorithm,
    authorized::Authorized,
    builder::AuthBuilder,
    claims::{Claims, ClaimsError},
    config_error::ConfigError,
    grant::Grants,
    key::Key,
    key_error::KeyError,
    keys::Keys,
    revocation::Revocations,
    ticket::{Ticket, Tickets},
    verifier::{Verifier, VerifierBuilder},
};
use self::{
    authorized::Admission,
    cookie::CookieKind,
    credential::{Credential, Sources, redacted},
    denial::{Denial, refuse},
    grant::Granted,
    origin::Origins,
    ticket_store::Store,
};
use crate::{
    lifecycle::Lifecycle,
    refusal::{Field, Refusal},
    request::{Request, RequestHead},
    topic::{TopicError, Topics},
};

/// Lets requests in, or says why not. Cheap to clone; clones are one.
///
/// ```
/// # fn f() -> Result<(), sse_core::ConfigError> {
/// use sse_core::{Algorithm, Auth, Grants, Key, Verifier};
///
/// # let secret = [0; 32];
/// let verifier = Verifier::builder()
///     .algorithms([Algorithm::HS256])
///     .keys(Key::hmac(secret)?)
///     .issuer("sse-example")
///     .audience("sse-example")
///     .build()?;
/// let auth = Auth::builder(verifier)
///     .grants(Grants::claim("topics"))
///     .allowed_origins(["https://app.example"])
///     .build()?;
/// # Ok(()) }
/// # #[cfg(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc-rs"))] f().unwrap();
/// ```
///
/// A token is looked for in `Authorization: Bearer`, then in the cookie, then as a ticket, then in the query; the
/// last two only where they are asked for. The first that is there decides: if it is bad, the others are not
/// tried.
///
/// **Cookies.** A browser sends them whoever's page has asked. So with a cookie, a request must come from a
/// script (`Sec-Fetch-Mode`) of the same site (`Sec-Fetch-Site`, or an `Origin` that is the host asked for) or of
/// an [allowed origin](AuthBuilder::allowed_origins); else it is refused with 403. This holds for every handler,
/// not for streams alone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    verifier: Verifier,
    sources: Sources,
    grants: Grants,
    origins: Origins,
    tickets: Option<Arc<Store>>,
    cookies: CookieKind,
    /// Of the cookie with the token, looked at or not.
    cookie_name: String,
    revocations: Revocations,
    notice: Option<Duration>,
}

impl Auth {
    /// Everything but the verifier has a default: a cookie named `__Host-sse_token`, no tickets, no token in the
    /// query, no topics granted, no other origins.
    pub fn builder(verifier: Verifier) -> AuthBuilder {
        AuthBuilder::new(verifier)
    }

    /// Lets a request in, or refuses it. What adapters call; the request is read before this returns, and the
    /// future owns what it needs.
    ///
    /// It waits only for keys that are being fetched.
    ///
    /// # Errors
    /// A [`Refusal`], with the header fields of CORS where the origin is allowed:
    ///
    /// | | status | `WWW-Authenticate` |
    /// |---|---|---|
    /// | no token | 401 | `Bearer` |
    /// | two tokens, one of more than 8 KiB, a malformed header | 400 | `Bearer error="invalid_request"` |
    /// | whatever is wrong with the token | 401 | `Bearer error="invalid_token"` |
    /// | a cookie that another site's page has sent | 403 | |
    /// | another host | 421 | |
    /// | no keys, or a new one that is not known yet; no room for another ticket's stream | 503, with `Retry-After` | |
    ///
    /// A browser's `EventSource`, which a 503 would end for good, gets a stream that ends at once and has it come
    /// back instead.
    ///
    /// The log has the reason, at level info, and never the token.
    pub fn authorize(
        &self,
        head: &impl RequestHead,
        lifecycle: &Lifecycle,
    ) -> Pin<Box<dyn Future<Output = Result<Authorized, Refusal>> + Send>> {
        let auth = self.clone();
        let fields = self.0.origins.fields(head);
        let credential = self.credential(head);
        let request = Request::new(head, lifecycle);
        // Boxed: so it holds nothing of the head, whatever that is.
        Box::pin(async move {
            let admitted = match credential {
                Ok(credential) => auth.admit(credential, fields.clone()).await,
                Err(denial) => Err(denial),
            };
            match admitted {
                Ok(admission) => Ok(Authorized::new(request, Arc::new(admission))),
                Err(denial) => Err(refuse(denial, &fields, request.is_browser())),
            }
        })
    }

    /// The answer to a preflight (`OPTIONS`) of any path that pages of other origins use: 204 for an allowed
    /// origin, 403 else. It needs no token, for browsers send none with it.
    pub fn preflight(&self, head: &impl RequestHead) -> Refusal {
        self.0.origins.preflight(head)
    }

    /// A ticket for these topics, in the name of the one who asks: the answer to a POST with
    /// `Authorization: Bearer`. It opens the stream at the [path of the settings](Tickets::new), and nothing else.
    ///
    /// # Errors
    /// A [`Refusal`]: 403 when a topic is not granted, 401 when the request was let in by anything but that
    /// header, 503 when too many tickets are out, 500 where tickets are [not turned on](AuthBuilder::tickets).
    pub fn issue_ticket<T>(&self, client: &Authorized, topics: T) -> Result<Ticket, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        self.issue(client, None, client.granted(topics)?)
    }

    /// [`issue_ticket`](Self::issue_ticket) for the stream at another path, as this server sees it: `/jobs/7`.
    ///
    /// # Errors
    /// As there; 500 too for what is no path.
    pub fn issue_ticket_for<T>(&self, client: &Authorized, path: &str, topics: T) -> Result<Ticket, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        self.issue(client, Some(path), client.granted(topics)?)
    }

    fn issue(&self, client: &Authorized, path: Option<&str>, topics: Topics) -> Result<Ticket, Refusal> {
        let Some(tickets) = self.0.tickets.as_ref().filter(|_| path.is_none_or(ticket::is_path)) else {
            tracing::error!("tickets need `AuthBuilder::tickets`, and a path that begins with `/`");
            return Err(client
                .request()
                .refuse(Refusal::of(500, "The server is not configured for tickets.")));
        };
        // A cookie needs no ticket, and a ticket must not beget others.
        if !client.admission().by_header {
            return Err(client.request().refuse(Denial::Missing));
        }
        tickets.issue(client.claims(), path, &topics).map_err(|denial| client.request().refuse(denial))
    }

    /// Whether a request comes from a page of this very origin, of a [listed one](AuthBuilder::allowed_origins), or
    /// from no page at all. For handlers that need no token and yet are not for everybody's forms: the one that signs
    /// in, or another site's page could sign its visitors in as somebody else.
    ///
    /// # Errors
    /// A [`Refusal`] with 403 for a page of another site or of a neighbour, with 421 for another host.
    pub fn check_origin(&self, head: &impl RequestHead) -> Result<(), Refusal> {
        let origins = &self.0.origins;
        let checked = origins.check_host(head).and_then(|()| origins.check_origin(head));
        checked.map_err(|denial| refuse(denial, &origins.fields(head), false))
    }

    /// The query string with `-` in place of tickets and tokens, for logs; `None` if there are none.
    pub fn redact_query(query: &str) -> Option<String> {
        redacted(query)
    }

    /// Takes tokens back.
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// The value of `Set-Cookie` that signs a browser in: for all paths, out of reach of scripts, over TLS alone and
    /// not sent for other sites' pages, but where the settings say otherwise.
    ///
    /// What cannot be a token signs out instead, as [`logout_cookie`](Self::logout_cookie) does.
    pub fn login_cookie(&self, token: &str, max_age: Duration) -> String {
        let is_token = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if token.is_empty() || !is_token {
            return self.logout_cookie();
        }
        self.0.cookies.set(&self.0.cookie_name, token, "/", max_age)
    }

    /// The value of `Set-Cookie` that takes the token away from a browser. Copies of it stay good until they
    /// are [revoked](Revocations::revoke_token).
    pub fn logout_cookie(&self) -> String {
        self.0.cookies.set(&self.0.cookie_name, "", "/", Duration::ZERO)
    }

    fn credential(&self, head: &impl RequestHead) -> Result<Credential, Denial> {
        self.0.origins.check_host(head)?;
        let credential = self.0.sources.read(head)?;
        if credential.is_ambient() {
            self.0.origins.check_ambient(head)?;
        }
        Ok(credential)
    }

    async fn admit(&self, credential: Credential, mut fields: Vec<Field>) -> Result<Admission, Denial> {
        let by_header = matches!(credential, Credential::Header(_));
        let mut session = None;
        let (claims, granted) = match credential {
            Credential::Header(token) | Credential::Query(token) => self.check(&token).await?,
            Credential::Cookies(tokens) => self.check_all(&tokens).await?,
            Credential::Ticket(shown) => {
                let tickets = self.0.tickets.as_ref().ok_or(Denial::Missing)?;
                let redeemed = tickets.redeem(&shown)?;
                fields.extend(redeemed.cookies.into_iter().map(|cookie| ("set-cookie", cookie.into())));
                session = redeemed.session;
                self.0.revocations.check(redeemed.claims.stamp())?;
                (redeemed.claims, Granted::only(&redeemed.topics))
            }
        };
        Ok(Admission {
            claims,
            granted,
            by_header,
            session,
            fields,
            revocations: self.0.revocations.clone(),
            clock: self.0.verifier.clock().clone(),
            notice: self.0.notice,
        })
    }

    async fn check(&self, token: &str) -> Result<(Claims, Granted), Denial> {
        let claims = self.0.verifier.check(token).await?;
        let granted = self.0.grants.read(&claims)?;
        self.0.revocations.check(claims.stamp())?;
        Ok((claims, granted))
    }

    /// Of several cookies of one name the good one: a neighbour under the same domain can set one too, which must
    /// not lock anybody out. Not where two are good and of different subjects, for it cannot be told which of them
    /// the site has set.
    async fn check_all(&self, tokens: &[String]) -> Result<(Claims, Granted), Denial> {
        let (mut good, mut bad): (Option<(Claims, Granted)>, _) = (None, Denial::Missing);
        for token in tokens {
            match self.check(token).await {
                Ok((claims, _))
                    if good.as_ref().is_some_and(|(good, _)| good.subject() != claims.subject()) =>
                {
                    return Err(Denial::Malformed("two cookies of one name, of different subjects"));
                }
                Ok(found) => good = good.or(Some(found)),
                // What passes tells more than what does not.
                Err(denial) if bad == Denial::Missing || denial.retry().is_some() => bad = denial,
                Err(_) => {}
            }
        }
        good.ok_or(bad)
    }
}

impl AsRef<Self> for Auth {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("verifier", &self.0.verifier).finish_non_exhaustive()
    }
}
