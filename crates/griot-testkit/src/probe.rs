//! What a test of its own does with a broker, step by step: names, messages, and what comes of them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test has nowhere else to go"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use griot_core::Publication;
use griot_events::{
    Broker, BrokerError, Delivery, Incoming, MESSAGE_ID, Order, Source, Subscription,
};
use tokio::time::{Instant, timeout};

/// What everything awaited here takes at most.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Awaits a condition.
///
/// # Panics
///
/// When it does not hold within [`DEADLINE`].
pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let end = Instant::now() + DEADLINE;
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    while !condition().await {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        pause.tick().await;
    }
}

/// A topic that no other test has.
pub fn topic(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let unique = fastrand::u64(..);
    format!("{name}-{unique:x}-{next}")
}

/// A message, without a key where that is empty.
pub fn message(topic: &str, key: &str, payload: impl ToString) -> Publication {
    Publication {
        topic: topic.to_owned(),
        key: (!key.is_empty()).then(|| key.to_owned()),
        headers: Vec::new(),
        payload: payload.to_string().into_bytes().into(),
    }
}

/// The same with a message id.
pub fn message_with_id(topic: &str, key: &str, payload: impl ToString, id: &str) -> Publication {
    let mut message = message(topic, key, payload);
    let header = (MESSAGE_ID.to_owned(), id.to_owned());
    message.headers.push(header);
    message
}

/// Publishes what the broker must take.
///
/// # Panics
///
/// When it does not.
pub async fn publish(broker: &dyn Broker, publications: Vec<Publication>) {
    for outcome in broker.publish(publications).await {
        outcome.unwrap();
    }
}

/// A group's subscription of one topic.
pub fn subscription(topic: &str, group: &str, order: Order) -> Subscription {
    Subscription {
        topics: vec![topic.to_owned()],
        group: group.to_owned(),
        in_flight_max: 64,
        order,
    }
}

/// Joins a group.
///
/// # Panics
///
/// When the broker does not let it.
pub async fn subscribe(
    broker: &dyn Broker,
    topic: &str,
    group: &str,
    order: Order,
) -> Box<dyn Source> {
    let subscription = subscription(topic, group, order);
    broker.subscribe(subscription).await.unwrap()
}

/// The next message or change; errors that pass are waited out.
///
/// # Panics
///
/// When none comes, another error does, or the source has ended.
pub async fn incoming(source: &mut Box<dyn Source>) -> Incoming {
    let next = async {
        loop {
            match source.next().await {
                Some(Ok(incoming)) => return incoming,
                Some(Err(BrokerError::Unreachable(_))) => {}
                Some(Err(error)) => panic!("{error}"),
                None => panic!("the source has ended"),
            }
        }
    };
    timeout(DEADLINE, next).await.expect("nothing came")
}

/// The next message; lets go of what is revoked.
///
/// # Panics
///
/// As [`incoming`].
pub async fn next(source: &mut Box<dyn Source>) -> Delivery {
    loop {
        match incoming(source).await {
            Incoming::Delivery(delivery) => return delivery,
            Incoming::Revoked { released, .. } => drop(released.send(())),
        }
    }
}

/// Payloads of the next messages, acknowledged.
///
/// # Panics
///
/// As [`incoming`], and when an acknowledgement fails.
pub async fn take(source: &mut Box<dyn Source>, count: usize) -> Vec<String> {
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let delivery = next(source).await;
        taken.push(text(&delivery));
        delivery.receipt.ack().await.unwrap();
    }
    taken
}

/// The payload of a message.
///
/// # Panics
///
/// When it is no text.
pub fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.event.payload().to_vec()).unwrap()
}

/// Nothing comes for so long.
///
/// # Panics
///
/// When something does.
pub async fn quiet(source: &mut Box<dyn Source>, long: Duration) {
    if let Ok(came) = timeout(long, source.next()).await {
        panic!("unexpected: {came:?}");
    }
}
