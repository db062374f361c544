//! Messages that flow while something happens to a broker: each is published until it is confirmed, and
//! none may be missing or out of its order where it arrives.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::collections::HashMap;
use std::time::Duration;

use griot_events::{Answer, Consuming, Event, Message};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::bench::{Bench, SOON, number};

/// Longer than a server takes to come back, also on a machine that does much else.
const BACK: Duration = SOON.saturating_mul(3);

const TOPIC: &str = "flow";
const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// A publisher of numbers under a few keys, each number when the one before it was confirmed, and a
/// consumer of them.
#[derive(Debug)]
pub(super) struct Flow {
    confirmed: watch::Receiver<u64>,
    arrived: watch::Receiver<Arrived>,
    stop: watch::Sender<bool>,
    publishing: JoinHandle<()>,
    _consuming: Consuming,
}

/// What arrived.
#[derive(Debug, Default)]
struct Arrived {
    /// The lowest number of each key that did not.
    next: HashMap<Vec<u8>, u64>,
    /// The first number that came before one that is lower.
    early: Option<String>,
}

impl Arrived {
    fn note(&mut self, event: &Event) {
        let key = event.key().unwrap();
        let number = number(event);
        let next = self.next.entry(key.to_vec()).or_default();
        if number == *next {
            *next += 1;
        } else if number > *next && self.early.is_none() {
            let key = String::from_utf8_lossy(key);
            self.early = Some(format!("{number} of {key} came before {next}"));
        }
    }

    /// Whether all numbers below this one did, under each key.
    fn has_all_below(&self, number: u64) -> bool {
        let next = |key: &&str| self.next.get(key.as_bytes()).copied().unwrap_or_default();
        KEYS.iter().all(|key| next(key) >= number)
    }
}

impl Flow {
    /// Begins to publish and to consume.
    pub(super) async fn begin(bench: &Bench) -> Self {
        let arrived = watch::Sender::new(Arrived::default());
        let arriving = arrived.subscribe();
        let handler = move |event: Event| {
            arrived.send_modify(|arrived| arrived.note(&event));
            async { Answer::Ack }
        };
        let subscription = bench.subscription(TOPIC, "g");
        let consuming = bench.consume(subscription, handler).await;
        let stop = watch::Sender::new(false);
        let told = watch::Sender::new(0);
        let confirmed = told.subscribe();
        let publishing = tokio::spawn(publish(bench, stop.subscribe(), told));
        Self {
            confirmed,
            arrived: arriving,
            stop,
            publishing,
            _consuming: consuming,
        }
    }

    /// Waits until so many more numbers were confirmed.
    pub(super) async fn until_confirmed(&mut self, more: u64) {
        let enough = *self.confirmed.borrow() + more;
        let waited = timeout(BACK, self.confirmed.wait_for(|count| *count >= enough)).await;
        let confirmed = waited.map(|count| *count.unwrap());
        assert!(confirmed.is_ok(), "{enough} numbers were to be confirmed");
    }

    /// Waits until so many more numbers were confirmed and arrived.
    pub(super) async fn until_arrived(&mut self, more: u64) {
        self.until_confirmed(more).await;
        let confirmed = *self.confirmed.borrow();
        self.arrival(confirmed).await;
    }

    /// Stops publishing, and waits until all that was confirmed arrived.
    pub(super) async fn end(mut self) {
        self.stop.send_replace(true);
        timeout(BACK, &mut self.publishing).await.unwrap().unwrap();
        let confirmed = *self.confirmed.borrow();
        self.arrival(confirmed).await;
    }

    async fn arrival(&mut self, confirmed: u64) {
        let arrived = self
            .arrived
            .wait_for(|arrived| arrived.early.is_some() || arrived.has_all_below(confirmed));
        let complete = timeout(BACK, arrived).await.is_ok();
        let arrived = self.arrived.borrow();
        assert_eq!(arrived.early, None);
        assert!(complete, "of {confirmed} of each key: {:?}", arrived.next);
    }
}

fn publish(
    bench: &Bench,
    stop: watch::Receiver<bool>,
    confirmed: watch::Sender<u64>,
) -> impl Future<Output = ()> + Send + use<> {
    let topic = bench.topic(TOPIC);
    let producer = bench.producer.clone().with_deadline(BACK);
    async move {
        for number in 0_u64.. {
            if *stop.borrow() {
                return;
            }
            let message = |key| Message::json(&topic, &number).unwrap().key(key);
            let messages = KEYS.map(message).to_vec();
            for outcome in producer.publish_all(messages).await {
                outcome.unwrap();
            }
            confirmed.send_replace(number + 1);
        }
    }
}
