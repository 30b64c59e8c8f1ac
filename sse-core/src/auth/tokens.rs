//! [`Tokens`]: how an [`Auth`] lets requests in by their tokens.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    Auth,
    authorized::{Admission, Authorized, Token},
    claims::Claims,
    cookie::CookieKind,
    credential::{Credential, Sources},
    denial::{Asker, Denial, refuse},
    digest::Digest,
    grant::Grants,
    granted::Granted,
    identity::Identity,
    ticket::{self, Ticket},
    ticket_store::Store,
    verifier::Verifier,
};
use crate::{
    lifecycle::Lifecycle,
    refusal::{Field, Refusal},
    request::{Request, RequestHead},
    topic::{TopicError, Topics},
};

/// What tokens are looked for in, checked by and worth.
pub(super) struct Tokens {
    pub(super) verifier: Verifier,
    pub(super) sources: Sources,
    pub(super) grants: Grants,
    pub(super) tickets: Option<Arc<Store>>,
    pub(super) cookies: CookieKind,
    /// Of the cookie with the token, looked at or not.
    pub(super) cookie_name: String,
}

impl Auth {
    /// Lets a request in, or refuses it. What adapters call; the request is read before this returns, and the
    /// future owns what it needs.
    ///
    /// It waits only for keys that are being fetched, and where the `Auth` is
    /// [shared](crate::EngineHubBuilder::share), for the engine when a ticket is used.
    ///
    /// # Errors
    /// A [`Refusal`], with the header fields of CORS where the origin is allowed:
    ///
    /// | | status | `WWW-Authenticate` |
    /// |---|---|---|
    /// | no token | 401 | `Bearer` |
    /// | two tokens, one of more than 8 KiB, a malformed header | 400 | `Bearer error="invalid_request"` |
    /// | whatever is wrong with the token | 401 | `Bearer error="invalid_token"` |
    /// | it was [revoked](crate::Revocations), and a stream is asked for (`Accept: text/event-stream`) | 204 | |
    /// | a cookie that another site's page has sent | 403 | |
    /// | another host | 421 | |
    /// | settings [without tokens](Auth::sessions) | 401 | `Session` |
    /// | no keys, or a new one that is not known yet; no room for another ticket's stream; a ticket while the engine is away, which does not use it up | 503, with `Retry-After` | |
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
        let credential = self.tokens().and_then(|tokens| auth.credential(tokens, head));
        let request = Request::new(head, lifecycle);
        let asker = Asker::new(&request, self.0.tokens.is_none());
        // Boxed: so it holds nothing of the head, whatever that is.
        Box::pin(async move {
            let admitted = match credential {
                Ok(credential) => auth.admit_credential(credential, fields.clone(), asker).await,
                Err(denial) => Err(denial),
            };
            match admitted {
                Ok(admission) => Ok(Authorized::new(request, Arc::new(admission), ())),
                Err(denial) => Err(refuse(denial, &fields, asker)),
            }
        })
    }

    /// A ticket for these topics, in the name of the one who asks: the answer to a POST with
    /// `Authorization: Bearer`. It opens the stream at the [path of the settings](crate::Tickets::new), and nothing else.
    ///
    /// # Errors
    /// A [`Refusal`]: 403 when a topic is not granted, 401 when the request was let in by anything but that
    /// header, 503 when too many tickets are out, or where the `Auth` is [shared](crate::EngineHubBuilder::share) and the
    /// engine does not answer, 500 where tickets are [not turned on](crate::AuthBuilder::tickets).
    pub async fn issue_ticket<U, T>(&self, client: &Authorized<U>, topics: T) -> Result<Ticket, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        self.issue(client, None, client.granted(topics)?).await
    }

    /// [`issue_ticket`](Self::issue_ticket) for the stream at another path, as this server sees it: `/jobs/7`.
    ///
    /// # Errors
    /// As there; 500 too for what is no path.
    pub async fn issue_ticket_for<U, T>(
        &self,
        client: &Authorized<U>,
        path: &str,
        topics: T,
    ) -> Result<Ticket, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        self.issue(client, Some(path), client.granted(topics)?).await
    }

    async fn issue<U>(
        &self,
        client: &Authorized<U>,
        path: Option<&str>,
        topics: Topics,
    ) -> Result<Ticket, Refusal> {
        let tickets = self.0.tokens.as_ref().and_then(|tokens| tokens.tickets.as_ref());
        let Some(tickets) = tickets.filter(|_| path.is_none_or(ticket::is_path)) else {
            tracing::error!("tickets need `AuthBuilder::tickets`, and a path that begins with `/`");
            return Err(client
                .request()
                .refuse(Refusal::of(500, "The server is not configured for tickets.")));
        };
        // A cookie needs no ticket, and a ticket must not beget others.
        let Some(token) = client.admission().token.as_ref().filter(|token| token.by_header) else {
            return Err(client.refuse(Denial::Missing));
        };
        tickets.issue(&token.claims, path, &topics).await.map_err(|denial| client.refuse(denial))
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
        self.set_cookie(token, max_age)
    }

    /// The value of `Set-Cookie` that takes the token away from a browser. Copies of it stay good until they
    /// are [revoked](crate::Revocations::revoke_token).
    pub fn logout_cookie(&self) -> String {
        self.set_cookie("", Duration::ZERO)
    }

    fn set_cookie(&self, value: &str, max_age: Duration) -> String {
        let tokens = self.0.tokens.as_ref();
        tokens.map(|tokens| tokens.cookies.set(&tokens.cookie_name, value, "/", max_age)).unwrap_or_default()
    }

    fn tokens(&self) -> Result<&Tokens, Denial> {
        self.0.tokens.as_ref().ok_or(Denial::Missing)
    }

    fn credential(&self, tokens: &Tokens, head: &impl RequestHead) -> Result<Credential, Denial> {
        self.0.origins.check_host(head)?;
        let credential = tokens.sources.read(head)?;
        if credential.is_ambient() {
            self.0.origins.check_ambient(head)?;
        }
        Ok(credential)
    }

    async fn admit_credential(
        &self,
        credential: Credential,
        mut fields: Vec<Field>,
        asker: Asker,
    ) -> Result<Admission, Denial> {
        let by_header = matches!(credential, Credential::Header(_));
        let mut session = None;
        let (claims, granted) = match credential {
            Credential::Header(token) | Credential::Query(token) => self.check(&token).await?,
            Credential::Cookies(tokens) => self.check_all(&tokens).await?,
            Credential::Ticket(shown) => {
                let tickets = self.tokens()?.tickets.as_ref().ok_or(Denial::Missing)?;
                let redeemed = tickets.redeem(&shown).await?;
                fields.extend(redeemed.cookies.into_iter().map(|cookie| ("set-cookie", cookie.into())));
                session = redeemed.session;
                (redeemed.claims, Granted::only(&redeemed.topics))
            }
        };
        let stamp = Arc::clone(claims.stamp());
        let asked_about = self.0.reauthorize.as_ref().map(|_| Identity::of(&stamp));
        let admission = self.admission(asker, stamp, granted, fields, asked_about);
        Ok(Admission { token: Some(Token { claims, by_header, session }), ..admission })
    }

    async fn check(&self, token: &str) -> Result<(Claims, Granted), Denial> {
        let tokens = self.tokens()?;
        let claims = tokens.verifier.check(token).await?;
        let granted = tokens.grants.read(&claims)?;
        self.0.revocations.check(claims.stamp())?;
        Ok((claims, granted))
    }

    /// Of several cookies of one name the good one: a neighbour under the same domain can set one too, which must
    /// not lock anybody out. Not where two are good and of different subjects, for it cannot be told which of them
    /// the site has set.
    async fn check_all(&self, tokens: &[String]) -> Result<(Claims, Granted), Denial> {
        // A subject is its issuer's, and who has none is alone.
        fn whose(claims: &Claims) -> (Digest, Option<&str>) {
            (claims.stamp().subject_key, claims.issuer())
        }

        let (mut good, mut bad): (Option<(Claims, Granted)>, _) = (None, Denial::Missing);
        for token in tokens {
            match self.check(token).await {
                Ok((claims, _)) if good.as_ref().is_some_and(|(good, _)| whose(good) != whose(&claims)) => {
                    return Err(Denial::Malformed("two cookies of one name, of different subjects"));
                }
                Ok(found) => good = good.or(Some(found)),
                // What passes tells more than what does not.
                Err(denial)
                    if bad == Denial::Missing || denial == Denial::Revoked || denial.retry().is_some() =>
                {
                    bad = denial;
                }
                Err(_) => {}
            }
        }
        good.ok_or(bad)
    }
}
