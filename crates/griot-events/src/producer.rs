//! Publishing, with confirms awaited and failures that may pass tried again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use griot_actor::Backoff;
use griot_core::Publication;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::layer::{TRACEPARENT, TraceContext, put_header};
use crate::{Broker, BrokerError, EVENT_NAME, MESSAGE_ID};

/// Publishes to a broker. Cheap to clone.
///
/// A message keeps its id while it is tried again, so that a broker that knows ids stores it once. Inside
/// of a trace ([`TraceContext::current`]) it says where in the header [`TRACEPARENT`].
#[derive(Clone, Debug)]
pub struct Producer {
    broker: Arc<dyn Broker>,
    deadline: Duration,
    backoff: Backoff,
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is not published yet"]
pub struct Message(Publication);

impl Message {
    /// A message for `topic` with `value` as JSON.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Refused`] for a value that JSON cannot express.
    pub fn json<T: Serialize + ?Sized>(topic: &str, value: &T) -> Result<Self, BrokerError> {
        let payload = serde_json::to_vec(value).map_err(|error| BrokerError::Refused {
            what: "a value that is not JSON",
            reason: error.to_string(),
        })?;
        Ok(Self::bytes(topic, payload))
    }

    /// A message for `topic` with `payload` as it is.
    pub fn bytes(topic: &str, payload: impl Into<Bytes>) -> Self {
        Self(Publication {
            topic: topic.to_owned(),
            key: None,
            headers: Vec::new(),
            payload: payload.into(),
        })
    }

    /// Messages of one key keep their order.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// What happened: the header [`EVENT_NAME`].
    pub fn name(self, name: impl Into<String>) -> Self {
        self.header(EVENT_NAME, name)
    }

    /// What identifies it: the header [`MESSAGE_ID`]. Without one it gets a UUID of version 7.
    pub fn id(self, id: impl Into<String>) -> Self {
        self.header(MESSAGE_ID, id)
    }

    /// Adds a header behind the others.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.headers.push((name.into(), value.into()));
        self
    }
}

impl From<Publication> for Message {
    fn from(publication: Publication) -> Self {
        Self(publication)
    }
}

impl Producer {
    /// Publishes to `broker`; gives a message up after half a minute.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            deadline: Duration::from_secs(30),
            backoff: Backoff::default(),
        }
    }

    /// Gives a message up after so long.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Publishes a message, and returns once the broker has it durably.
    ///
    /// # Errors
    ///
    /// The last one when the deadline has passed: [`BrokerError::Unknown`] where it may be out;
    /// [`BrokerError::Refused`] and [`BrokerError::Closed`] at once.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the message may or may not be published.
    pub async fn publish(&self, message: Message) -> Result<(), BrokerError> {
        let outcomes = self.publish_all(vec![message]).await;
        outcomes.into_iter().next().unwrap_or(Ok(()))
    }

    /// Publishes messages in order, and says of each whether the broker has it durably. Where one
    /// fails for good, later ones of its key fail too, rather than overtake it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, any of them may or may not be published.
    pub async fn publish_all(&self, messages: Vec<Message>) -> Vec<Result<(), BrokerError>> {
        let publications = messages
            .into_iter()
            .map(|Message(publication)| traced(with_id(publication)));
        let publications = publications.collect();
        publish_until(
            self.broker.as_ref(),
            publications,
            self.backoff,
            self.deadline,
        )
        .await
    }
}

fn with_id(mut publication: Publication) -> Publication {
    let mut headers = publication.headers.iter();
    if !headers.any(|(name, _)| name.eq_ignore_ascii_case(MESSAGE_ID)) {
        let id = Uuid::now_v7().to_string();
        publication.headers.push((MESSAGE_ID.to_owned(), id));
    }
    publication
}

/// Inside of a trace, what is published says so, unless it says something else itself.
fn traced(mut publication: Publication) -> Publication {
    if let Some(context) = TraceContext::current() {
        put_header(&mut publication, TRACEPARENT, context);
    }
    publication
}

/// Whether it may work when it is tried again.
pub(crate) fn is_passing(outcome: &Result<(), BrokerError>) -> bool {
    matches!(
        outcome,
        Err(BrokerError::Unreachable(_) | BrokerError::Unknown(_))
    )
}

/// Publishes, and tries those again, in order, whose failure may pass, for so long.
async fn publish_until(
    broker: &dyn Broker,
    mut publications: Vec<Publication>,
    backoff: Backoff,
    deadline: Duration,
) -> Vec<Result<(), BrokerError>> {
    let end = Instant::now().checked_add(deadline);
    // Until a broker says otherwise nobody knows of a message; each is asked for at least once.
    let mut outcomes: Vec<Result<(), BrokerError>> = vec![Ok(()); publications.len()];
    let mut left: Vec<usize> = (0..publications.len()).collect();
    for attempt in 0.. {
        let again = broker.publish(publications.clone()).await;
        let mut failed = Vec::new();
        for ((place, outcome), publication) in left.into_iter().zip(again).zip(publications) {
            if is_passing(&outcome) {
                failed.push((place, publication));
            }
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = outcome;
            }
        }
        let delay = backoff.delay(attempt);
        if failed.is_empty() || end.is_some_and(|end| Instant::now() + delay > end) {
            break;
        }
        (left, publications) = failed.into_iter().unzip();
        sleep(delay).await;
    }
    outcomes
}
