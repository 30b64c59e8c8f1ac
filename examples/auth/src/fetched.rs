//! The keys of an identity provider: fetched over TLS or from this machine, without redirects.

use std::{error::Error, time::Duration};

use reqwest::{Client, RequestBuilder, Url, redirect::Policy};
use sse_core::{FetchedKeys, Keys};

/// No more of a key set is read than is of use.
const LARGEST: usize = 256 << 10;

/// Keys that are fetched when they are first needed, and again from time to time.
pub(crate) fn keys(url: &str) -> Result<Keys, Box<dyn Error>> {
    let url = Url::parse(url).map_err(|_| "JWKS_URL must be a URL")?;
    if url.scheme() != "https" && !matches!(url.host_str(), Some("127.0.0.1" | "localhost")) {
        return Err("JWKS_URL must be https".into());
    }
    let client = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(5))
        .build()?;
    Ok(Keys::remote(move || fetch(client.get(url.clone()))))
}

async fn fetch(request: RequestBuilder) -> Result<FetchedKeys, Box<dyn Error + Send + Sync>> {
    let mut answer = request.send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            return Err("the key set is too large".into());
        }
    }
    Ok(FetchedKeys::new(body, None))
}
