//! The durable consumer by which a group reads a topic from a stream.

use std::fmt;

use std::time::Duration;

use griot_events::{BrokerError, Order};
use serde_json::{Value, json};

use crate::link::Link;
use crate::names;

/// Messages that all members of a group without order have in flight together.
const GROUP_IN_FLIGHT_MAX: usize = 100_000;

/// The one group of priorities that a consumer has; JetStream wants it named.
pub(crate) const PINNED: &str = "griot";

/// What to call this in errors.
const WHAT: &str = "the subscription";

/// One group's consumer of one topic in one stream.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    link: Link,
    stream: String,
    name: String,
    topic: String,
    order: Order,
    in_flight_max: usize,
}

impl fmt::Display for Consumer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of the topic {}", self.name, self.topic)
    }
}

/// How far a consumer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last place in the stream that was given out.
    pub(crate) delivered: u64,
    /// How many messages were given out and not acknowledged.
    pub(crate) pending: usize,
    /// The member that is given messages, where there is one.
    pub(crate) pinned: Option<String>,
}

impl Consumer {
    pub(crate) fn new(
        link: Link,
        stream: String,
        topic: String,
        group: &str,
        order: Order,
        in_flight_max: usize,
    ) -> Self {
        Self {
            name: names::consumer_of(group, &topic),
            link,
            stream,
            topic,
            order,
            in_flight_max,
        }
    }

    /// Makes it, or changes it to what is asked for now. Where it was before, it goes on.
    pub(crate) async fn make(&self) -> Result<(), BrokerError> {
        let request = json!({ "stream_name": self.stream, "config": self.config() });
        let subject = format!("CONSUMER.CREATE.{}.{}", self.stream, self.name);
        let made = self.ask(&subject, &request).await?;
        let pinned = made["config"]["priority_policy"] == json!("pinned_client");
        if self.order == Order::PerKey && !pinned {
            return Err(BrokerError::Refused {
                what: WHAT,
                reason: "the server cannot give a topic to one member at a time, which order per key needs: use nats-server 2.11 or later, or subscribe with `Order::None`".to_owned(),
            });
        }
        Ok(())
    }

    fn config(&self) -> Value {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let lease = self.link.options.lease;
        let mut config = json!({
            "durable_name": self.name,
            "name": self.name,
            "filter_subject": self.topic,
            "deliver_policy": "all",
            "replay_policy": "instant",
            "ack_policy": "explicit",
            "ack_wait": nanos(lease),
            "max_deliver": -1,
            "max_ack_pending": GROUP_IN_FLIGHT_MAX,
        });
        if self.order == Order::PerKey {
            config["max_ack_pending"] = json!(self.in_flight_max);
            config["priority_policy"] = json!("pinned_client");
            config["priority_groups"] = json!([PINNED]);
            config["priority_timeout"] = json!(nanos(lease / 3));
        }
        config
    }

    pub(crate) async fn progress(&self) -> Result<Progress, BrokerError> {
        let subject = format!("CONSUMER.INFO.{}.{}", self.stream, self.name);
        let info = self.ask(&subject, &Value::Null).await?;
        let pending = info["num_ack_pending"].as_u64().unwrap_or(0);
        let pinned = info["priority_groups"][0]["pinned_client_id"].as_str();
        Ok(Progress {
            delivered: info["delivered"]["stream_seq"].as_u64().unwrap_or(0),
            pending: usize::try_from(pending).unwrap_or(usize::MAX),
            pinned: pinned.filter(|pin| !pin.is_empty()).map(str::to_owned),
        })
    }

    /// Lets another member be the one that is given messages.
    pub(crate) async fn unpin(&self) -> Result<(), BrokerError> {
        let subject = format!("CONSUMER.UNPIN.{}.{}", self.stream, self.name);
        let unpinned = self.ask(&subject, &json!({ "group": PINNED })).await;
        unpinned.map(drop)
    }

    /// Where its messages are asked for.
    pub(crate) fn next_subject(&self) -> String {
        format!("CONSUMER.MSG.NEXT.{}.{}", self.stream, self.name)
    }

    async fn ask(&self, subject: &str, request: &Value) -> Result<Value, BrokerError> {
        let answer = self.link.ask(subject, request).await;
        answer.map_err(|trouble| self.link.forbidden.trouble(WHAT, trouble))
    }
}
