//! What users of the alarms reach: the broker, the service's API, and a listener to all digests.

use std::sync::Arc;

use griot::events::{
    self, Consumer, Consuming, Event, Json, Order, Partition, Producer, Router, State, Subscription,
};
use serde_json::Value;

use super::book::Book;
use crate::process::{DEADLINE, until};

/// Digests that are taken in at a time.
const IN_FLIGHT_MAX: usize = 1_000;

/// Outlives the service and the broker's server.
pub(crate) struct Stand {
    /// What was raised and told.
    pub(crate) book: Arc<Book>,
    /// What no other run on the same broker has in the names of its users.
    pub(crate) run: String,
    /// Keeps trying while the broker is down.
    pub(crate) producer: Producer,
    service: String,
    _listening: Consuming,
}

impl Stand {
    /// For the service at the base URL `service`, whose broker others reach at `broker`.
    pub(crate) async fn at(service: &str, broker: &str) -> Self {
        let run = format!("{:x}", fastrand::u64(..));
        let book = Arc::new(Book::default());
        let router = Router::new().on("AlarmDigest", hear);
        let subscription = Subscription {
            topics: router.topics(),
            group: format!("listener-{run}"),
            in_flight_max: IN_FLIGHT_MAX,
            order: Order::PerKey,
        };
        let broker = events::connect(broker).await.unwrap();
        let heard = router.with_state(Arc::clone(&book));
        let listening = Consumer::new(Arc::clone(&broker), subscription, heard);
        Self {
            book,
            run,
            producer: Producer::new(broker).with_deadline(DEADLINE),
            service: service.to_owned(),
            _listening: listening.start().await.unwrap(),
        }
    }

    /// What is at `path` of the service, once it answers.
    pub(crate) async fn get(&self, path: &str) -> Value {
        until("the service answers", async || {
            let answer = reqwest::get(format!("{}{path}", self.service)).await;
            answer.ok()?.error_for_status().ok()?.json().await.ok()
        })
        .await
    }
}

async fn hear(State(book): State<Arc<Book>>, event: Event, Json(digest): Json<Value>) {
    let (Partition(partition), offset) = event.position();
    book.tell(event.id(), (partition, offset), &digest);
}
