//! [`User`]: whom the application knows by its own cookie.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sse_core::{Identity, TopicError};

use super::App;

/// Whom the cookie `session` names. No application would believe such a cookie.
#[derive(Clone, Debug)]
pub struct User {
    /// Who.
    pub name: String,
    /// Of the session.
    pub id: String,
    /// When they signed in.
    pub signed_in: SystemTime,
    /// When that is over.
    pub until: SystemTime,
}

/// What the application says to nobody, in its own way.
pub(super) const OWN: &str = "Who are you?";

/// Nobody is signed in.
#[derive(Debug)]
pub(super) enum Unknown {
    /// A guest, who is sent to the page that signs in.
    Guest,
    /// Anybody else.
    Nobody,
    /// Nobody knows: the application never answers.
    Never,
}

impl User {
    /// Has signed in an hour ago, and stays for another.
    pub fn new(name: &str, id: &str) -> Self {
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        Self { name: name.into(), id: id.into(), signed_in: now - hour, until: now + hour }
    }

    /// The value of a `Cookie` header.
    pub fn cookie(&self) -> String {
        let millis =
            |time: SystemTime| time.duration_since(UNIX_EPOCH).expect("a time of our days").as_millis();
        format!("session={}.{}.{}.{}", self.name, self.id, millis(self.signed_in), millis(self.until))
    }

    /// Looks for somebody in the value of the cookie.
    pub(super) fn look(cookie: Option<&str>, app: &App) -> Result<Self, Unknown> {
        app.looked.fetch_add(1, Ordering::SeqCst);
        match cookie {
            Some("panics") => panic!("a defect of the application's"),
            Some("hangs") => return Err(Unknown::Never),
            _ => {}
        }
        let Some(cookie) = cookie.filter(|cookie| *cookie != "guest") else {
            return Err(cookie.map_or(Unknown::Nobody, |_| Unknown::Guest));
        };
        let mut parts = cookie.split('.');
        let mut text = || parts.next().map(str::to_owned).ok_or(Unknown::Nobody);
        let (name, id) = (text()?, text()?);
        let mut time = || {
            let millis = text()?.parse().map_err(|_| Unknown::Nobody)?;
            Ok(UNIX_EPOCH + Duration::from_millis(millis))
        };
        Ok(Self { name, id, signed_in: time()?, until: time()? })
    }
}

impl TryFrom<&User> for Identity {
    type Error = TopicError;

    fn try_from(user: &User) -> Result<Self, TopicError> {
        let identity = Self::new(&user.name).topics(["news"])?.exact_topic(format!("user/{}", user.name))?;
        Ok(identity.session(&user.id).signed_in_at(user.signed_in).until(user.until))
    }
}
