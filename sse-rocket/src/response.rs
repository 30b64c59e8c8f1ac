//! [`Sse`] and [`Error`]: a stream and a refusal as Rocket responses.

use std::{io, time::Duration};

use rocket::{
    Request,
    http::{Header, Status},
    response::{self, Responder, Response},
};
use sse_core::{EventStream, Source, Subscription, adapter_error};

use crate::fairing::UserTimeout;

/// Sends an [`EventStream`]: `Sse` alone is that of a hub, `Sse<S>` that of a stream of the application's own.
#[derive(Debug)]
#[must_use = "a response does nothing unless it is returned"]
pub struct Sse<S = Subscription>(pub EventStream<S>);

impl<'r, 'o: 'r, S: Source + Send + 'o> Responder<'r, 'o> for Sse<S> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'o> {
        let mut response = Response::build();
        for (name, value) in self.0.headers().filter(|(name, value)| is_ours(name, value)) {
            // Several of one name are several cookies.
            response.raw_header_adjoin(name, value);
        }
        // Rocket's body is a task of its own, which only learns by writing that nobody reads any more. Its buffer has
        // 4 KiB; larger ones stay resident in full.
        let user_timeout = request.rocket().state::<UserTimeout>().map_or(Duration::ZERO, |after| after.0);
        response.streamed_body(self.0.noticed_by_writing(user_timeout).into_async_read()).ok()
    }
}

/// Header fields of ours, but for one that Rocket sets itself: its Shield warns of every answer that has it
/// already. What cannot stand in a header is left out.
fn is_ours(name: &str, value: &str) -> bool {
    name != "x-content-type-options" && Header::is_valid_name(name) && Header::is_valid_value(value, true)
}

adapter_error! {
    /// Any error of the library as a response, so that `?` works in a handler.
    pub struct Error
}

impl Error {
    /// The status that a catcher is asked to render. One that is no error, which tells a browser to come back, has
    /// none.
    pub(crate) fn status(&self) -> Status {
        match self.0.status() {
            200 => Status::ServiceUnavailable,
            status => Status::new(status),
        }
    }

    /// Makes a response this one, or where a catcher of the application made it, gives it the header fields alone.
    /// What others have set stays.
    pub(crate) fn put(self, response: &mut Response<'_>, is_caught: bool) {
        // Neither is an error to a catcher, and to a 204 there is nothing to add.
        let whole = !is_caught || matches!(self.0.status(), 200 | 204);
        if self.0.status() == 204 {
            response.remove_header("content-type");
        }
        for (name, value) in self.0.headers().filter(|(name, value)| is_ours(name, value)) {
            match name {
                "vary" | "set-cookie" => response.adjoin_raw_header(name, value.to_owned()),
                "content-type" if !whole => {}
                _ => {
                    response.set_raw_header(name, value.to_owned());
                }
            }
        }
        if self.0.closes_connection() {
            response.set_raw_header("connection", "close");
        }
        if whole {
            response.set_status(Status::new(self.0.status()));
            let body = self.0.into_body();
            response.set_sized_body(body.len(), io::Cursor::new(body));
        }
    }
}

/// For handlers that return `Result<_, Status>`: the sentence and the header fields are lost.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.status()
    }
}

impl<'r, 'o: 'r> Responder<'r, 'o> for Error {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'o> {
        let mut response = Response::new();
        self.put(&mut response, false);
        Ok(response)
    }
}
