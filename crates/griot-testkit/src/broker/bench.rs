//! What the cases work with: a broker, names of their own, and a record of what was handled.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use griot_events::{
    Answer, Broker, Consumer, ConsumerLimits, Consuming, Delivery, Event, Incoming, Message, Order,
    Producer, Source, Subscription,
};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tower::Service;
use uuid::Uuid;

use crate::BrokerFactory;

/// How long a case waits for something that must happen.
pub(super) const SOON: Duration = Duration::from_mins(1);

/// A broker, and names that no other case has.
#[derive(Debug)]
pub struct Bench {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Publishes to it.
    pub producer: Producer,
    case: String,
}

/// A message as it was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// Its key, or none.
    pub key: String,
    /// Its payload, a number.
    pub number: u64,
    /// Which attempt it was.
    pub attempt: u32,
    /// How often it had been delivered before.
    pub redelivered: u32,
}

/// What was handled, in order, by all who share this. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seen(watch::Sender<Vec<Handled>>);

#[expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]
impl Bench {
    /// Opens the broker for a case.
    pub async fn open(factory: &impl BrokerFactory) -> Self {
        let case = Uuid::now_v7().simple().to_string();
        Self::reopen(factory, case).await
    }

    /// Closes the broker, and opens it anew with the same names.
    pub async fn close_and_open(self, factory: &impl BrokerFactory) -> Self {
        self.broker.close().await;
        let Self { case, .. } = self;
        Self::reopen(factory, case).await
    }

    async fn reopen(factory: &impl BrokerFactory, case: String) -> Self {
        let broker = factory.open().await;
        let producer = Producer::new(Arc::clone(&broker)).with_deadline(SOON);
        Self {
            broker,
            producer,
            case,
        }
    }

    /// Opens the broker with the names of a case that began in another process.
    pub(super) async fn join_case(factory: &impl BrokerFactory, case: String) -> Self {
        Self::reopen(factory, case).await
    }

    /// What another process joins it by.
    pub(super) fn case(&self) -> &str {
        &self.case
    }

    /// A topic of this case.
    pub fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.case)
    }

    /// A subscription of a group of this case.
    pub fn subscription(&self, topic: &str, group: &str) -> Subscription {
        Subscription {
            topics: vec![self.topic(topic)],
            group: self.topic(group),
            in_flight_max: 100,
            order: Order::PerKey,
        }
    }

    /// Publishes the numbers under a key, in order.
    pub async fn publish(&self, topic: &str, key: &str, numbers: impl IntoIterator<Item = u64>) {
        let message = |number: u64| Message::json(&self.topic(topic), &number).unwrap().key(key);
        let messages = numbers.into_iter().map(message).collect();
        for outcome in self.producer.publish_all(messages).await {
            outcome.unwrap();
        }
    }

    /// Joins a group.
    pub async fn subscribe(&self, topic: &str, group: &str) -> Box<dyn Source> {
        let subscription = self.subscription(topic, group);
        self.broker.subscribe(subscription).await.unwrap()
    }

    /// Begins a consumer with quick retries.
    pub async fn consume<F, A>(&self, subscription: Subscription, handler: F) -> Consuming
    where
        F: Fn(Event) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let handler = tower::service_fn(move |event| {
            let answer = handler(event);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        self.serve(subscription, handler).await
    }

    /// Begins a consumer with quick retries that gives what comes to a service, such as a router.
    pub async fn serve<S>(&self, subscription: Subscription, service: S) -> Consuming
    where
        S: Service<Event, Response = Answer, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let mut limits = ConsumerLimits::default();
        limits.backoff.first = Duration::from_millis(5);
        limits.backoff.max = Duration::from_millis(50);
        limits.panics_max = 3;
        let consumer = Consumer::new(Arc::clone(&self.broker), subscription, service);
        consumer.with_limits(limits).start().await.unwrap()
    }

    /// Begins a consumer that acknowledges what it sees.
    pub async fn watch(&self, topic: &str, group: &str) -> (Consuming, Seen) {
        let seen = Seen::default();
        let consuming = self.join(&seen, topic, group).await;
        (consuming, seen)
    }

    /// Begins a consumer that acknowledges what it sees, and notes it with others.
    pub async fn join(&self, seen: &Seen, topic: &str, group: &str) -> Consuming {
        self.note(seen, self.subscription(topic, group)).await
    }

    /// The same for any subscription.
    pub async fn note(&self, seen: &Seen, subscription: Subscription) -> Consuming {
        let by = seen.clone();
        let handler = move |event: Event| {
            by.add(&event);
            async { Answer::Ack }
        };
        self.consume(subscription, handler).await
    }

    /// Begins a consumer whose handlers wait, once they have noted what they see, until they may go
    /// on: add permits, one is enough for all.
    pub async fn stall(&self, subscription: Subscription) -> (Consuming, Seen, Arc<Semaphore>) {
        self.hold(subscription, |_| true).await
    }

    /// The same, where only what is `held` has to wait.
    pub async fn hold(
        &self,
        subscription: Subscription,
        held: fn(&Event) -> bool,
    ) -> (Consuming, Seen, Arc<Semaphore>) {
        let (seen, open) = (Seen::default(), Arc::new(Semaphore::new(0)));
        let (by, wait) = (seen.clone(), Arc::clone(&open));
        let handler = move |event: Event| {
            by.add(&event);
            let wait = Arc::clone(&wait);
            async move {
                if held(&event) {
                    let _open = wait.acquire().await;
                }
                Answer::Ack
            }
        };
        let consuming = self.consume(subscription, handler).await;
        (consuming, seen, open)
    }
}

/// The next message; lets go of what is revoked.
#[expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]
pub(super) async fn next(source: &mut dyn Source) -> Delivery {
    let next = async {
        loop {
            match source.next().await.unwrap().unwrap() {
                Incoming::Delivery(delivery) => return delivery,
                Incoming::Revoked { released, .. } => {
                    let _ = released.send(());
                }
            }
        }
    };
    timeout(SOON, next).await.unwrap()
}

/// The number that is a message's payload.
#[expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]
pub(super) fn number(event: &Event) -> u64 {
    let text = std::str::from_utf8(event.payload()).unwrap();
    text.parse().unwrap()
}

impl Default for Seen {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl Seen {
    /// Notes a message, and says how often this one was noted, now included.
    pub fn add(&self, event: &Event) -> usize {
        let key = event.key().map(|key| String::from_utf8_lossy(key));
        let handled = Handled {
            key: key.unwrap_or_default().into_owned(),
            number: number(event),
            attempt: event.attempt(),
            redelivered: event.redelivered(),
        };
        let mut times = 0;
        self.0.send_modify(|all| {
            let same =
                |other: &&Handled| (&other.key, other.number) == (&handled.key, handled.number);
            times = all.iter().filter(same).count() + 1;
            all.push(handled.clone());
        });
        times
    }

    /// All, so far.
    pub fn all(&self) -> Vec<Handled> {
        self.0.borrow().clone()
    }

    /// The numbers of a key, in the order in which they were handled.
    pub fn numbers(&self, key: &str) -> Vec<u64> {
        let all = self.0.borrow();
        let of_key = all.iter().filter(|handled| handled.key == key);
        of_key.map(|handled| handled.number).collect()
    }

    /// The numbers of a key, each where it was handled first.
    pub fn first_numbers(&self, key: &str) -> Vec<u64> {
        let mut firsts: Vec<u64> = Vec::new();
        for number in self.numbers(key) {
            if !firsts.contains(&number) {
                firsts.push(number);
            }
        }
        firsts
    }

    /// Waits until `enough` holds.
    ///
    /// # Panics
    ///
    /// When it does not within a minute.
    pub async fn until(&self, enough: impl Fn(&[Handled]) -> bool) {
        let mut all = self.0.subscribe();
        let waited = timeout(SOON, all.wait_for(|all| enough(all))).await;
        assert!(waited.is_ok(), "handled so far: {:?}", self.all());
    }

    /// Waits until `count` different messages were handled.
    pub async fn until_different(&self, count: usize) {
        let different = |all: &[Handled]| {
            let names = all.iter().map(|handled| (&handled.key, handled.number));
            names.collect::<std::collections::HashSet<_>>().len()
        };
        self.until(|all| different(all) >= count).await;
    }
}
