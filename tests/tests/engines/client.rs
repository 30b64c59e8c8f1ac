//! A client: it reads a stream as clients do, is cut, and comes back.

use sse_core::{
    EventStream, Hub, Request, Source, Subscription,
    test::{Body, ClientEvent, EventReader, ReadErrorKind},
};

use super::node::PATIENCE;

/// A client with an open stream.
pub(crate) struct Client<S = Subscription> {
    reader: EventReader<Body<S>>,
    topics: Vec<String>,
    /// What it sends as `Last-Event-ID`.
    pub(crate) id: Option<String>,
}

pub(crate) fn request(hub: &Hub, id: Option<&str>) -> Request {
    let request =
        id.into_iter().fold(http::Request::builder(), |request, id| request.header("last-event-id", id));
    Request::new(&request.body(()).expect("a request"), hub.lifecycle())
}

impl Client {
    /// New at this node, and there: it has its position.
    pub(crate) async fn new(hub: &Hub, topics: &[&str]) -> Self {
        let mut client = Self::open(hub, topics, None);
        let first = client.read().await;
        assert_eq!(first.name, "sse-position", "{first:?}");
        client
    }

    pub(crate) fn open(hub: &Hub, topics: &[&str], id: Option<&str>) -> Self {
        let stream = hub.open(&request(hub, id), topics).expect("a stream");
        Self::reading(stream, topics, id)
    }

    /// [`open`](Self::open), unless the node is about to stop.
    pub(crate) fn try_open(hub: &Hub, topics: &[&str], id: Option<&str>) -> Option<Self> {
        let stream = hub.open(&request(hub, id), topics).ok()?;
        Some(Self::reading(stream, topics, id))
    }

    /// Behind an event.
    pub(crate) fn after(hub: &Hub, topics: &[&str], id: impl ToString) -> Self {
        Self::open(hub, topics, Some(&id.to_string()))
    }

    /// Cut, and back at this node.
    pub(crate) fn again(self, hub: &Hub) -> Self {
        let Self { reader, topics, id } = self;
        drop(reader);
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        Self::open(hub, &topics, id.as_deref())
    }
}

impl<S: Source> Client<S> {
    pub(crate) fn reading(stream: EventStream<S>, topics: &[&str], id: Option<&str>) -> Self {
        Self {
            reader: EventReader::new(stream).within(PATIENCE).with_positions(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            id: id.map(str::to_owned),
        }
    }

    /// The next of whatever it is, or why there is none.
    pub(crate) async fn try_next(
        &mut self,
        within: std::time::Duration,
    ) -> Option<Result<ClientEvent, ReadErrorKind>> {
        let event = tokio::time::timeout(within, self.reader.next()).await.ok()?;
        if let Ok(event) = &event
            && !event.last_event_id.is_empty()
        {
            self.id = Some(event.last_event_id.clone());
        }
        Some(event.map_err(|error| error.kind().clone()))
    }

    async fn read(&mut self) -> ClientEvent {
        let event = self.reader.next().await.expect("an event");
        if !event.last_event_id.is_empty() {
            self.id = Some(event.last_event_id.clone());
        }
        event
    }

    /// The next event, or gap.
    pub(crate) async fn next(&mut self) -> ClientEvent {
        loop {
            let event = self.read().await;
            if event.name != "sse-position" {
                return event;
            }
        }
    }

    /// The next in short: its data, or of a gap its reason.
    pub(crate) async fn short(&mut self) -> String {
        let event = self.next().await;
        match event.name.as_str() {
            "sse-gap" => {
                let gap: serde_json::Value = event.json().expect("JSON");
                format!("gap:{}", gap["reason"].as_str().expect("a reason"))
            }
            _ => event.data,
        }
    }

    /// All up to this one, in short.
    pub(crate) async fn upto(&mut self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let next = self.short().await;
            let is_last = next == last;
            all.push(next);
            if is_last {
                return all;
            }
        }
    }

    /// Whether the stream ends, with nothing before that.
    pub(crate) async fn ends(&mut self) -> bool {
        loop {
            match self.reader.next().await {
                Ok(event) if event.name == "sse-position" => {}
                Ok(_) => return false,
                Err(error) => return *error.kind() == ReadErrorKind::Ended,
            }
        }
    }

    /// What comes within a moment, if anything.
    pub(crate) async fn at_once(&mut self, moment: std::time::Duration) -> Option<String> {
        tokio::time::timeout(moment, self.short()).await.ok()
    }
}

/// `what-1` to `what-n`.
pub(crate) fn numbered(what: &str, numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("{what}-{n}")).collect()
}
