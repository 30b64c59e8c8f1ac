//! No token, cookie or ticket is shown by anything.

use std::{
    collections::HashSet,
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
};

use sse_core::{Event, Hub, Keys, Tickets};
use tracing::{
    Metadata,
    field::{Field, Visit},
    span,
};

use super::{Build, DATA, authorize, bearer, builder, get, text, token, with_cookie};

/// Everything that is recorded, at every level.
#[derive(Clone, Default)]
pub(crate) struct Records(Arc<Mutex<String>>);

impl Records {
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl Visit for Records {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{field}={value:?}");
    }
}

impl tracing::Subscriber for Records {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// No stretch of twelve bytes of any of them.
fn assert_absent(secrets: &[String], shown: &str) {
    let parts: HashSet<&[u8]> = secrets.iter().flat_map(|secret| secret.as_bytes().windows(12)).collect();
    for part in shown.as_bytes().windows(12) {
        // The beginning of every header is the same, and is no secret.
        let known = part.starts_with(b"eyJ") || !parts.contains(part);
        assert!(known, "{} in {shown}", String::from_utf8_lossy(part));
    }
}

#[tokio::test]
async fn records_and_debug_show_no_secret() {
    // With one listener alone, `tracing` may take what another thread has first come by for disabled.
    let _second = tracing::Dispatch::new(Records::default());
    let records = Records::default();
    let _guard = tracing::subscriber::set_default(records.clone());
    let auth = builder().tickets(Tickets::new("/events")).allow_query_token().build().unwrap();
    let hub = Hub::new();
    let mut secrets = vec![text("/secret")];
    let mut shown = String::new();

    // Every refusal of the table, through each way in.
    for case in DATA["cases"].as_array().unwrap() {
        let token = case["token"].as_str().unwrap();
        for head in [
            bearer(token),
            with_cookie(token),
            get().query(format!("access_token={token}")),
            get().query(format!("ticket={token}")),
            bearer(token).query("access_token=x"),
        ] {
            let answered = authorize(&auth, &head).await;
            let _ = write!(shown, "{answered:?}");
            if let Err(refusal) = answered {
                let _ = write!(shown, "{refusal} {:?}", refusal.headers().collect::<Vec<_>>());
            }
        }
        secrets.extend(token.split('.').filter(|part| part.len() > 12).map(str::to_owned));
    }

    let client = authorize(&auth, &bearer(&token("ada"))).await.unwrap();
    let ticket = auth.issue_ticket(&client, "news").await.unwrap();
    let head = get().query(format!("ticket={}", ticket.as_str()));
    let by_ticket = authorize(&auth, &head).await.unwrap();
    assert!(authorize(&auth, &head).await.is_err());
    let stream = hub.open(&by_ticket, "news").unwrap();
    // One that bears the cookie all the same.
    let refused = hub.open(&by_ticket, "user/eve").unwrap_err();
    assert!(refused.headers().any(|(name, value)| name == "set-cookie" && !value.is_empty()));
    let cookie =
        by_ticket.request().response_headers().find(|(name, _)| *name == "set-cookie").unwrap().1.to_owned();
    hub.publish("news", Event::new("x")).await.unwrap();
    auth.revocations().revoke(&client).await.unwrap();
    let keys = Keys::jwks(DATA["sets"]["secret"].to_string()).unwrap();
    let _ = write!(
        shown,
        "{refused:?} {auth:?} {client:?} {by_ticket:?} {ticket:?} {stream:?} {keys:?} {:?} {:?} {:?}",
        client.claims().unwrap(),
        auth.revocations(),
        builder(),
    );
    secrets.push(ticket.as_str().to_owned());
    secrets.push(cookie.split(['=', ';']).nth(1).unwrap().to_owned());
    secrets.push(DATA["sets"]["secret"]["keys"][0]["k"].as_str().unwrap().to_owned());

    let records = records.0.lock().unwrap().clone();
    for reason in ["expired", "the signature is not right", "the ticket is used", "revoked"] {
        assert!(records.contains(reason), "{reason} in {records}");
    }
    assert_absent(&secrets, &records);
    assert_absent(&secrets, &shown);
    for claim in ["ada", "user/"] {
        assert!(!shown.contains(claim), "{claim} in {shown}");
    }
}
