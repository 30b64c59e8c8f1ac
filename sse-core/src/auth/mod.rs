//! [`Auth`]: who may open which streams, and for how long.

#[cfg(feature = "jwt")]
mod algorithm;
#[cfg(feature = "jwt")]
mod among;
mod authorized;
mod auths;
mod builder;
#[cfg(feature = "jwt")]
mod claims;
mod config_error;
#[cfg(feature = "jwt")]
mod cookie;
#[cfg(feature = "jwt")]
mod credential;
mod denial;
mod digest;
mod effects;
#[cfg(feature = "jwt")]
mod grant;
mod granted;
mod identity;
#[cfg(feature = "jwks")]
mod jwks;
#[cfg(feature = "jwt")]
mod key;
#[cfg(feature = "jwt")]
mod key_error;
#[cfg(feature = "jwt")]
mod key_set;
#[cfg(feature = "jwt")]
mod keys;
#[cfg(feature = "jwt")]
mod material;
mod open;
#[cfg(feature = "jwt")]
mod opens;
mod origin;
mod others;
mod outbox;
#[cfg(feature = "jwt")]
mod pem;
#[cfg(feature = "jwt")]
mod per_subject;
mod realm;
mod reauthorize;
mod recent;
mod registry;
mod revocation;
mod revoked;
mod said;
#[cfg(any(test, not(feature = "jwt")))]
mod sha256;
#[cfg(feature = "jwt")]
mod shelves;
#[cfg(feature = "jwt")]
mod spent;
mod stamp;
#[cfg(feature = "jwt")]
mod template;
#[cfg(feature = "jwt")]
mod ticket;
#[cfg(feature = "jwt")]
mod ticket_store;
#[cfg(feature = "jwt")]
mod token_header;
#[cfg(feature = "jwt")]
mod verifier;
#[cfg(feature = "jwt")]
mod waiters;

#[cfg(feature = "jwt")]
mod tokens;

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "jwks")]
pub use self::jwks::FetchedKeys;
#[cfg(feature = "jwt")]
use self::tokens::Tokens;
#[cfg(feature = "jwt")]
pub use self::{
    algorithm::Algorithm,
    claims::{Claims, ClaimsError},
    grant::Grants,
    key::Key,
    key_error::KeyError,
    keys::Keys,
    ticket::{Ticket, Tickets},
    verifier::{Verifier, VerifierBuilder},
};
use self::{
    authorized::Admission,
    denial::{Asker, Denial, refuse},
    granted::Granted,
    origin::Origins,
    reauthorize::Reauthorize,
    stamp::Stamp,
};
pub use self::{
    authorized::Authorized, auths::Auths, builder::AuthBuilder, config_error::ConfigError,
    identity::Identity, revocation::Revocations,
};
use crate::{
    clock::Clock,
    lifecycle::Lifecycle,
    refusal::{Field, Refusal},
    request::{Request, RequestHead},
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
    #[cfg(feature = "jwt")]
    tokens: Option<Tokens>,
    origins: Origins,
    revocations: Revocations,
    clock: Clock,
    notice: Option<Duration>,
    reauthorize: Option<Reauthorize>,
}

impl Auth {
    /// For an application that signs people in by itself, and calls [`admit`](Self::admit).
    pub fn sessions() -> AuthBuilder {
        AuthBuilder::default()
    }

    /// Lets in a request of somebody whom the application knows: by a session of its own, a client certificate, a row
    /// in its database. All else is as for a token: what is granted, expiry, revocation.
    ///
    /// `user` is what the application has found, and turns into an [`Identity`], or one itself.
    /// [`screen`](Self::screen) is part of it. An adapter calls that before the application looks who asks.
    ///
    /// # Errors
    /// A [`Refusal`]: 403 for a request that another site's page has caused, 421 for another host, 401 for one whose
    /// session was revoked or is over (204 for a revoked one that asks for a stream, by `Accept: text/event-stream`), 500 where `user` does not turn into an identity.
    pub fn admit<U>(
        &self,
        head: &impl RequestHead,
        lifecycle: &Lifecycle,
        user: U,
    ) -> Result<Authorized<U>, Refusal>
    where
        for<'a> &'a U: TryInto<Identity, Error: fmt::Display>,
    {
        let fields = self.0.origins.fields(head);
        let request = Request::new(head, lifecycle);
        let identity: Identity = match (&user).try_into() {
            Ok(identity) => identity,
            Err(error) => {
                tracing::error!(%error, "a user of the application's cannot be told who they are");
                return Err(Refusal::internal_error("The server cannot tell who is asking."));
            }
        };
        let asked_about = self.0.reauthorize.as_ref().map(|_| identity.clone());
        let (stamp, granted) = identity.into_parts();
        let checked = self.screened(head).and_then(|()| {
            if self.0.clock.now() >= stamp.ends_at {
                return Err(Denial::Over("expired"));
            }
            self.0.revocations.check(&stamp)
        });
        let asker = Asker::new(&request, true);
        if let Err(denial) = checked {
            return Err(refuse(denial, &fields, asker));
        }
        let admission = self.admission(asker, stamp, granted, fields, asked_about);
        Ok(Authorized::new(request, Arc::new(admission), user))
    }

    /// What a request is let in with, by no token. `asked_about` is who may be asked about again.
    fn admission(
        &self,
        asker: Asker,
        stamp: Arc<Stamp>,
        granted: Granted,
        fields: Vec<Field>,
        asked_about: Option<Identity>,
    ) -> Admission {
        Admission {
            asker,
            stamp,
            granted,
            #[cfg(feature = "jwt")]
            token: None,
            fields,
            revocations: self.0.revocations.clone(),
            clock: self.0.clock.clone(),
            notice: self.0.notice,
            reauthorize: self.0.reauthorize.clone().zip(asked_about),
        }
    }

    /// Whether a request may be judged by what browsers send by themselves, a session's cookie above all: it must come
    /// from a script (`Sec-Fetch-Mode`) of the same site or of an [allowed origin](AuthBuilder::allowed_origins), and
    /// be meant for this host.
    ///
    /// # Errors
    /// A [`Refusal`] with 403, or with 421 for another host.
    pub fn screen(&self, head: &impl RequestHead) -> Result<(), Refusal> {
        self.screened(head).map_err(|denial| refuse(denial, &self.0.origins.fields(head), Asker::default()))
    }

    fn screened(&self, head: &impl RequestHead) -> Result<(), Denial> {
        self.0.origins.check_host(head)?;
        self.0.origins.check_ambient(head)
    }

    /// The answer to a preflight (`OPTIONS`) of any path that pages of other origins use: 204 for an allowed
    /// origin, 403 else. It needs no token, for browsers send none with it.
    pub fn preflight(&self, head: &impl RequestHead) -> Refusal {
        self.0.origins.preflight(head)
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
        checked.map_err(|denial| refuse(denial, &origins.fields(head), Asker::default()))
    }

    /// The query string with `-` in place of tickets and tokens, for logs; `None` if there are none.
    pub fn redact_query(query: &str) -> Option<String> {
        #[cfg(feature = "jwt")]
        return credential::redacted(query);
        // Where no token is looked for there is none to take out.
        #[cfg(not(feature = "jwt"))]
        {
            let _ = query;
            None
        }
    }

    /// Takes tokens back.
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }
}

impl AsRef<Self> for Auth {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("revocations", &self.0.revocations).finish_non_exhaustive()
    }
}
