//! The contract's words as they are on the wire, and back. Pure.

use std::time::Duration;

use bytes::Bytes;
use griot_core::{Publication, Timestamp};
use griot_events::{BrokerError, Cause, Content, Event, Order, Partition, Subscription};

use super::{
    Delivered, Header, Kind, Ordering, Outcome, Place, Publishing, Revoked, Subscribe, Subscribed,
    Text, cause,
};

impl From<Publication> for Publishing {
    fn from(publication: Publication) -> Self {
        let headers = publication.headers.into_iter();
        Self {
            topic: publication.topic,
            key: publication.key,
            headers: headers.map(|(name, value)| Text { name, value }).collect(),
            payload: publication.payload,
        }
    }
}

impl From<Publishing> for Publication {
    fn from(publishing: Publishing) -> Self {
        let headers = publishing.headers.into_iter();
        Self {
            topic: publishing.topic,
            key: publishing.key,
            headers: headers.map(|text| (text.name, text.value)).collect(),
            payload: publishing.payload,
        }
    }
}

impl From<Subscription> for Subscribe {
    fn from(subscription: Subscription) -> Self {
        let order = match subscription.order {
            Order::PerKey => Ordering::PerKey,
            Order::None => Ordering::None,
        };
        Self {
            topics: subscription.topics,
            group: subscription.group,
            in_flight_max: u64::try_from(subscription.in_flight_max).unwrap_or(u64::MAX),
            order: order.into(),
        }
    }
}

impl Subscribe {
    /// With at most so many in flight.
    pub(crate) fn into_subscription(self, in_flight_max: usize) -> Subscription {
        let order = match self.order() {
            Ordering::PerKey => Order::PerKey,
            Ordering::None => Order::None,
        };
        let asked = usize::try_from(self.in_flight_max).unwrap_or(usize::MAX);
        Subscription {
            topics: self.topics,
            group: self.group,
            in_flight_max: asked.min(in_flight_max),
            order,
        }
    }
}

impl Delivered {
    pub(crate) fn new(delivery: u64, event: &Event) -> Self {
        let (Partition(partition), offset) = event.position();
        let header = |(name, value): (&str, &Bytes)| Header {
            name: name.to_owned(),
            value: value.clone(),
        };
        Self {
            delivery,
            topic: event.topic().to_owned(),
            key: event.key().cloned(),
            headers: event.headers().iter().map(header).collect(),
            payload: event.payload().clone(),
            partition,
            offset,
            published_at_micros: event.published_at().map(Timestamp::as_micros),
            redelivered: event.redelivered(),
        }
    }

    pub(crate) fn into_event(self) -> Event {
        let headers = self.headers.into_iter();
        Event::new(Content {
            topic: self.topic,
            key: self.key,
            headers: headers.map(|header| (header.name, header.value)).collect(),
            payload: self.payload,
            partition: Partition(self.partition),
            offset: self.offset,
            published_at: self.published_at_micros.map(Timestamp::from_micros),
            redelivered: self.redelivered,
        })
    }
}

impl Revoked {
    pub(crate) fn new(number: u64, partitions: Vec<(String, Partition)>) -> Self {
        let partitions = partitions.into_iter();
        let place = |(topic, Partition(partition))| Place { topic, partition };
        Self {
            number,
            partitions: partitions.map(place).collect(),
        }
    }

    pub(crate) fn into_partitions(self) -> Vec<(String, Partition)> {
        let partitions = self.partitions.into_iter();
        partitions
            .map(|place| (place.topic, Partition(place.partition)))
            .collect()
    }
}

impl Subscribed {
    pub(crate) fn new(number: u64, lease: Option<Duration>) -> Self {
        let micros = |lease: Duration| u64::try_from(lease.as_micros()).unwrap_or(u64::MAX);
        Self {
            number,
            lease_micros: lease.map(micros),
        }
    }

    pub(crate) fn lease(&self) -> Option<Duration> {
        self.lease_micros.map(Duration::from_micros)
    }
}

impl Outcome {
    pub(crate) fn of(outcome: Result<(), BrokerError>) -> Self {
        let (kind, reason) = match outcome {
            Ok(()) => (Kind::Done, String::new()),
            Err(BrokerError::Unreachable(cause)) => (Kind::Unreachable, in_full(&cause)),
            Err(BrokerError::Unknown(cause)) => (Kind::Unknown, in_full(&cause)),
            Err(BrokerError::Refused { what, reason }) => {
                (Kind::Refused, format!("{what}: {reason}"))
            }
            Err(BrokerError::Closed) => (Kind::Closed, String::new()),
            // A kind of error that came later: nothing is certain.
            Err(error) => (Kind::Unknown, error.in_full()),
        };
        Self {
            kind: kind.into(),
            reason,
        }
    }

    /// What became of `what`, as the broker of the server says.
    pub(crate) fn into_result(self, what: &'static str) -> Result<(), BrokerError> {
        let kind = Kind::try_from(self.kind).unwrap_or(Kind::Unknown);
        Err(match kind {
            Kind::Done => return Ok(()),
            Kind::Unreachable => BrokerError::Unreachable(cause(self.reason)),
            Kind::Unknown => BrokerError::Unknown(cause(self.reason)),
            Kind::Refused => BrokerError::Refused {
                what,
                reason: self.reason,
            },
            // It was not closed here, and there comes another. What was under way may have happened.
            Kind::Closed => BrokerError::Unknown(cause("the server is stopping".to_owned())),
        })
    }
}

/// Its text with those of what caused it.
fn in_full(cause: &Cause) -> String {
    let mut text = cause.to_string();
    let mut below = cause.source();
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use griot_events::Headers;

    use super::*;
    use crate::wire::{Reply, Say};

    #[test]
    fn an_event_comes_through_unchanged() {
        let content = Content {
            topic: "orders".to_owned(),
            key: Some(Bytes::from_static(&[0xfe, 0])),
            headers: Headers::from_iter([("b", &b"2"[..]), ("a", &[0xff]), ("b", b"")]),
            payload: Bytes::from_static(&[0, 1]),
            partition: Partition(15),
            offset: u64::MAX,
            published_at: Some(Timestamp::from_micros(-1)),
            redelivered: 3,
        };
        let delivered = Delivered::new(9, &Event::new(content.clone()));
        let frame = Reply::write(Say::Delivery(delivered));
        let Some(Say::Delivery(read)) = Reply::read(frame).unwrap() else {
            panic!("no delivery");
        };
        assert_eq!(read.delivery, 9);
        let event = read.into_event();
        let (partition, offset) = event.position();
        let read = Content {
            topic: event.topic().to_owned(),
            key: event.key().cloned(),
            headers: event.headers().clone(),
            payload: event.payload().clone(),
            partition,
            offset,
            published_at: event.published_at(),
            redelivered: event.redelivered(),
        };
        assert_eq!(read, content);
    }

    #[test]
    fn every_error_keeps_what_is_certain() {
        let same = |error: BrokerError| {
            let text = Outcome::of(Err(error))
                .into_result("a message")
                .unwrap_err();
            format!("{text:?}")
        };
        assert!(same(BrokerError::Unreachable(cause("x".into()))).starts_with("Unreachable"));
        assert!(same(BrokerError::Unknown(cause("x".into()))).starts_with("Unknown"));
        assert!(same(BrokerError::Closed).starts_with("Unknown"));
        let refused = BrokerError::Refused {
            what: "a topic of this name",
            reason: "it is a pattern".to_owned(),
        };
        let refused = Outcome::of(Err(refused)).into_result("a message");
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the broker refuses a message: a topic of this name: it is a pattern"
        );
    }

    #[test]
    fn a_server_takes_no_more_in_flight_than_it_allows() {
        let asked = Subscribe {
            in_flight_max: u64::MAX,
            order: 99,
            ..Subscribe::default()
        };
        let subscription = asked.into_subscription(10);
        assert_eq!(
            (subscription.in_flight_max, subscription.order),
            (10, Order::PerKey)
        );
    }
}
