//! Which engine the hubs of the three notifications examples have: none, where one process is enough, or the one that
//! `ENGINE_URL` names, where several share their events and whom they have signed out.
//!
//! An application knows which engine it has, and has one of these lines in its `main`.

use std::{env, error::Error};

use sse_core::{Auth, Hub, HubBuilder};

/// The hub of this node, once it has caught up with the others.
pub async fn hub(builder: HubBuilder, auth: &Auth) -> Result<Hub, Box<dyn Error>> {
    let Ok(url) = env::var("ENGINE_URL") else {
        return Ok(builder.build());
    };
    match url.split(':').next() {
        #[cfg(feature = "redis")]
        Some("redis" | "rediss") => {
            let engine = sse_redis::Redis::connect(&*url).await?;
            Ok(builder.engine(engine).share(auth).build().await?)
        }
        #[cfg(feature = "nats")]
        Some("nats" | "tls") => {
            let engine = sse_nats::JetStream::connect(&url).await?;
            Ok(builder.engine(engine).share(auth).build().await?)
        }
        _ => {
            // It may bear a password.
            let _ = (auth, builder);
            Err("ENGINE_URL begins with redis:// or nats://, and needs `--features engines`".into())
        }
    }
}
