//! A message as a handler sees it.

mod batch;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use griot_core::Timestamp;

use crate::Partition;
use crate::layer::{CORRELATION_ID, TRACEPARENT};

/// The header that names what happened, so that a router need not look into the payload.
pub const EVENT_NAME: &str = "event-name";

/// The header with a message's stable id: the same when it is published again. Brokers that can
/// drop repeated messages by id are given it, and a redelivery is known by it.
pub const MESSAGE_ID: &str = "message-id";

/// Names that almost every message has.
const COMMON: [&str; 4] = [MESSAGE_ID, EVENT_NAME, TRACEPARENT, CORRELATION_ID];

/// A message from a broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Event {
    delivered: Arc<Delivered>,
    attempt: u32,
    route: Option<Arc<str>>,
    /// All of a batch of two or more, of which this is the first.
    batch: Option<Arc<[Self]>>,
}

/// What all clones of an event share.
#[derive(Debug)]
struct Delivered {
    content: Content,
    /// The attempts that were begun, so that what stands around the retries can tell how many.
    attempts: AtomicU32,
}

/// What a message holds, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The topic it was published to.
    pub topic: String,
    /// Messages of one key keep their order. Any bytes.
    pub key: Option<Bytes>,
    /// What stands beside the payload, in order.
    pub headers: Headers,
    /// The payload, as it was published.
    pub payload: Bytes,
    /// The slice of the topic it lies in; 0 where a broker has none.
    pub partition: Partition,
    /// Its place there, as the broker counts: it identifies the message within its partition.
    pub offset: u64,
    /// When the broker took it, where it says so.
    pub published_at: Option<Timestamp>,
    /// How often the broker had delivered it before; 0 where it cannot tell.
    pub redelivered: u32,
}

/// Names and values in order; a name may stand there twice. Values are any bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, Bytes)>);

impl Event {
    /// A message on its first attempt.
    pub fn new(content: Content) -> Self {
        Self {
            delivered: Arc::new(Delivered {
                content,
                attempts: AtomicU32::new(1),
            }),
            attempt: 1,
            route: None,
            batch: None,
        }
    }

    /// The same message on its next attempt.
    #[must_use]
    pub fn next_attempt(&self) -> Self {
        let attempt = self.attempt.saturating_add(1);
        let attempts = &self.delivered.attempts;
        attempts.fetch_max(attempt, Ordering::Relaxed);
        Self {
            attempt,
            batch: self.each(Self::next_attempt),
            ..self.clone()
        }
    }

    /// The same message on the first attempt of its next delivery: for an adapter that hands out again what
    /// was given back.
    #[must_use]
    pub fn delivered_again(&self) -> Self {
        let content = &self.delivered.content;
        let redelivered = content.redelivered.saturating_add(1);
        Self::new(Content {
            redelivered,
            ..content.clone()
        })
    }

    /// The same message on its way to what a router has for `pattern`.
    pub(crate) fn routed(self, pattern: Arc<str>) -> Self {
        Self {
            batch: self.each(|event| event.clone().routed(Arc::clone(&pattern))),
            route: Some(pattern),
            ..self
        }
    }

    /// The topic it was published to.
    pub fn topic(&self) -> &str {
        &self.delivered.content.topic
    }

    /// Its key, where it has one.
    pub fn key(&self) -> Option<&Bytes> {
        self.delivered.content.key.as_ref()
    }

    /// What stands beside the payload.
    pub fn headers(&self) -> &Headers {
        &self.delivered.content.headers
    }

    /// The payload, as it was published.
    pub fn payload(&self) -> &Bytes {
        &self.delivered.content.payload
    }

    /// The slice of the topic it lies in, and its place there.
    pub fn position(&self) -> (Partition, u64) {
        (
            self.delivered.content.partition,
            self.delivered.content.offset,
        )
    }

    /// When the broker took it, where it says so.
    pub fn published_at(&self) -> Option<Timestamp> {
        self.delivered.content.published_at
    }

    /// Which attempt at handling it this is, from 1, within this delivery.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many attempts were begun within this delivery, on any of the clones.
    pub fn attempts(&self) -> u32 {
        self.delivered.attempts.load(Ordering::Relaxed)
    }

    /// The topic or pattern under which a router found its handler; `None` outside of a router, and
    /// in its fallback. Unlike topics there are few of them: it makes a good label.
    pub fn route(&self) -> Option<&Arc<str>> {
        self.route.as_ref()
    }

    /// How often the broker had delivered it before; 0 where it cannot tell.
    pub fn redelivered(&self) -> u32 {
        self.delivered.content.redelivered
    }

    /// What happened, from the header [`EVENT_NAME`].
    pub fn name(&self) -> Option<&str> {
        self.headers().get(EVENT_NAME)
    }

    /// What identifies the message: its [`MESSAGE_ID`], or else its topic, partition and offset. It
    /// is the same in every redelivery.
    pub fn id(&self) -> String {
        let place = || {
            let (Partition(partition), offset) = self.position();
            format!("{}/{partition}/{offset}", self.topic())
        };
        let id = self.headers().get(MESSAGE_ID);
        id.map_or_else(place, str::to_owned)
    }
}

impl Headers {
    /// The first value under `name` that is text. Names are compared without regard to case.
    pub fn get(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// The first value under `name`.
    pub fn get_bytes(&self, name: &str) -> Option<&Bytes> {
        let mut all = self.0.iter();
        let found = all.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    /// Adds a header behind the others.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// Adds a header behind the others, whose name is copied unless it is a common one.
    pub fn push_named(&mut self, name: &str, value: impl Into<Bytes>) {
        let common = COMMON.into_iter().find(|common| *common == name);
        let name = common.map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed);
        self.push(name, value);
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<Bytes>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        let all = all.into_iter();
        Self(
            all.map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}
