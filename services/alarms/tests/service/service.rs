//! The service under test, and what a test does with it.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use griot::Griot;
use griot::events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot::events::{
    self, Broker, DEAD_LETTER_MESSAGE_ID, Event, Incoming, Message, Order, Producer, Source,
    Subscription,
};
use griot::journal::MemoryJournal;
use griot_alarms::{Alarms, AlarmsConfig};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tower::ServiceExt;

/// How long anything may take that a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// A journal and a broker, on which services come and go.
pub(crate) struct Stand {
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) producer: Producer,
}

/// An instance of the service. Dropped, it ends as a crash would end it.
pub(crate) struct Service {
    pub(crate) alarms: Alarms,
    pub(crate) griot: Griot,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Stand {
    /// With the embedded broker.
    pub(crate) async fn embedded() -> Self {
        let journal = Arc::new(MemoryJournal::new());
        let options = EmbeddedOptions::default();
        let broker = EmbeddedBroker::open(journal.clone(), options)
            .await
            .unwrap();
        Self::on(journal, Arc::new(broker))
    }

    pub(crate) fn on(journal: Arc<MemoryJournal>, broker: Arc<dyn Broker>) -> Self {
        Self {
            journal,
            producer: Producer::new(Arc::clone(&broker)),
            broker,
        }
    }

    pub(crate) async fn service(&self) -> Service {
        self.service_with(prompt()).await
    }

    pub(crate) async fn service_with(&self, config: AlarmsConfig) -> Service {
        let builder = Griot::builder(self.journal.clone(), self.journal.clone());
        let builder = builder.publisher(events::publisher(Arc::clone(&self.broker)));
        let griot = Alarms::register(builder, &config).start().await.unwrap();
        let alarms = Alarms::start(griot.clone(), Arc::clone(&self.broker), config);
        Service {
            alarms: alarms.await.unwrap(),
            griot,
        }
    }

    /// Publishes a payload as it is, without a key.
    pub(crate) async fn publish(&self, topic: &str, payload: impl ToString) {
        let message = Message::bytes(topic, payload.to_string());
        self.producer.publish(message).await.unwrap();
    }

    /// Publishes a change of status, with the user as the key.
    pub(crate) async fn change(&self, user: &str, alarm: &str, status: &str, at: &str) {
        let payload = change(user, alarm, status, at).to_string();
        let message = Message::bytes("AlarmStatusChanged", payload).key(user);
        self.producer.publish(message).await.unwrap();
    }

    /// Asks for a digest, with the user as the key.
    pub(crate) async fn ask(&self, user: &str) {
        let payload = json!({"UserID": user}).to_string();
        let message = Message::bytes("SendAlarmDigest", payload).key(user);
        self.producer.publish(message).await.unwrap();
    }

    /// Waits until all messages with this key that were published so far are handled: a malformed one
    /// behind them is a dead letter then.
    pub(crate) async fn handled(&self, user: &str) {
        for topic in ["AlarmStatusChanged", "SendAlarmDigest"] {
            let mut dead = self.listen(&format!("{topic}.dead")).await;
            let id = format!("behind-{}", unique());
            let malformed = Message::bytes(topic, "malformed").key(user).id(&id);
            self.producer.publish(malformed).await.unwrap();
            while dead.event().await.headers().get(DEAD_LETTER_MESSAGE_ID) != Some(&id) {}
        }
    }

    /// All that is and will be in a topic.
    pub(crate) async fn listen(&self, topic: &str) -> Listener {
        let subscription = Subscription {
            topics: vec![topic.to_owned()],
            group: format!("test-{}", unique()),
            in_flight_max: 100,
            order: Order::PerKey,
        };
        Listener(self.broker.subscribe(subscription).await.unwrap())
    }
}

/// What no other test has.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{next}", fastrand::u64(..))
}

/// Sends a digest as soon as it is asked for.
pub(crate) fn prompt() -> AlarmsConfig {
    AlarmsConfig {
        digest_quiet: Duration::ZERO,
        ..AlarmsConfig::default()
    }
}

pub(crate) fn change(user: &str, alarm: &str, status: &str, at: &str) -> Value {
    json!({"AlarmID": alarm, "UserID": user, "Status": status, "ChangedAt": at})
}

/// Listens to a topic, as a group of its own.
pub(crate) struct Listener(Box<dyn Source>);

impl Listener {
    /// The next message.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            let next = timeout(DEADLINE, self.0.next()).await.expect("a message");
            if let Incoming::Delivery(delivery) = next.unwrap().unwrap() {
                delivery.receipt.ack().await.unwrap();
                return delivery.event;
            }
        }
    }

    /// The next message's payload.
    pub(crate) async fn payload(&mut self) -> String {
        let event = self.event().await;
        String::from_utf8(event.payload().to_vec()).unwrap()
    }

    /// Whose the next digest is, and which alarms it lists.
    pub(crate) async fn digest(&mut self) -> (String, Vec<String>) {
        let digest: Value = serde_json::from_str(&self.payload().await).unwrap();
        let alarms = digest["ActiveAlarms"].as_array().unwrap().iter();
        let alarms = alarms.map(|alarm| alarm["AlarmID"].as_str().unwrap().to_owned());
        (
            digest["UserID"].as_str().unwrap().to_owned(),
            alarms.collect(),
        )
    }
}

impl Service {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let app = griot::http::answer_with_problems(self.alarms.router());
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = app.oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    /// The names of what happened to a user.
    pub(crate) async fn history(&self, user: &str) -> Vec<String> {
        let answer = self.get(&format!("/alarms/{user}/history")).await;
        let events = answer.body.as_array().cloned().unwrap_or_default();
        let names = events.iter().map(|event| event["event"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }
}

/// Waits for a condition.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let end = Instant::now() + DEADLINE;
    let mut pause = interval(Duration::from_millis(5));
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !condition().await {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        pause.tick().await;
    }
}
