//! What a client is sent, for the tests of an application. With the feature `test-util`.
//!
//! [`EventReader`] reads the events of an answer, one by one, as a client decodes them. The adapters' modules of the
//! same name have a function `events` that makes one of their framework's response:
//!
//! ```
//! use sse_core::{Hub, Request, test::EventReader};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::new();
//! // What an adapter does; the request takes the feature `http`.
//! let request = Request::new(&http::Request::get("/events").body(())?, hub.lifecycle());
//! let mut events = EventReader::new(hub.open(&request, "news")?);
//!
//! let id = hub.publish("news", "hello").await?;
//! let event = events.next().await?;
//! assert_eq!((event.data.as_str(), event.id), ("hello", Some(id)));
//! # Ok(())
//! # }
//! ```
#![cfg_attr(feature = "jwt", doc = include_str!("auth.md"))]

mod decode;
mod error;
mod reader;

pub use decode::ClientEvent;
pub use error::{ReadError, ReadErrorKind};
pub use reader::{Body, EventReader};
