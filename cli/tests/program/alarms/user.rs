//! A user whose alarms are raised, go away and come back, and who wants digests all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use griot::events::{Message, Producer};
use serde_json::{Value, json};

use super::book::{Book, Page, Raised};
use super::stand::Stand;
use crate::process::DEADLINE;

/// Alarms that were raised and not told, at which a user waits for a digest.
const UNTOLD_MAX: usize = 20;

/// How long a user waits for a digest before asking for it again: one that was asked for before the
/// service heard of the alarms tells nothing.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Publishes under a name of its own.
pub(crate) struct User {
    /// The `UserID`.
    pub(crate) name: String,
    book: Arc<Book>,
    producer: Producer,
    /// Nanoseconds after the beginning, of which none is used twice.
    now: u32,
}

impl User {
    /// One of some users of a stand.
    pub(crate) fn new(number: usize, stand: &Stand) -> Self {
        Self {
            name: format!("user-{}-{number}", stand.run),
            book: Arc::clone(&stand.book),
            producer: stand.producer.clone(),
            now: 0,
        }
    }

    /// What was raised and told so far.
    pub(crate) fn page(&self) -> Page {
        self.book.page(&self.name)
    }

    /// Raises alarms and asks for digests until told to stop.
    pub(crate) async fn raise_and_ask(mut self, stopping: Arc<AtomicBool>) -> Self {
        while !stopping.load(Ordering::Relaxed) {
            for _ in 0..fastrand::u32(1..4) {
                self.raise().await;
            }
            self.ask().await;
            while self.page().untold().len() > UNTOLD_MAX && !stopping.load(Ordering::Relaxed) {
                self.ask().await;
                let _ = tokio::time::timeout(ASK_AGAIN, self.told(UNTOLD_MAX)).await;
            }
        }
        self
    }

    /// Raises an alarm, and asks for digests until all is told.
    ///
    /// # Panics
    ///
    /// If that does not happen in time.
    pub(crate) async fn raise_until_all_is_told(&mut self) {
        self.raise().await;
        let telling = async {
            while !self.page().untold().is_empty() {
                self.ask().await;
                let _ = tokio::time::timeout(ASK_AGAIN, self.told(0)).await;
            }
        };
        let told = tokio::time::timeout(DEADLINE, telling).await;
        told.unwrap_or_else(|_| panic!("{}: never told {:?}", self.name, self.page().untold()));
    }

    /// Raises an alarm, a new one or one that was told and has gone away since. What is old comes late,
    /// and what was said is said again.
    async fn raise(&mut self) {
        let mut messages = Vec::new();
        let known = self.page().any_told().map(str::to_owned);
        let alarm = match known.filter(|_| fastrand::u8(..4) == 0) {
            Some(alarm) => {
                let cleared = self.change(&alarm, "CLEARED");
                messages.push(self.message("AlarmStatusChanged", &cleared));
                alarm
            }
            None => format!("alarm-{}", self.now),
        };
        let old = self.change(&alarm, "CLEARED");
        let severity = fastrand::choice(["WARNING", "CRITICAL"]).unwrap();
        let raised = self.change(&alarm, severity);
        messages.push(self.message("AlarmStatusChanged", &raised));
        for again in [&old, &raised] {
            if fastrand::bool() {
                messages.push(self.message("AlarmStatusChanged", again));
            }
        }
        for outcome in self.producer.publish_all(messages).await {
            outcome.expect("the broker takes it before the deadline");
        }
        let at = raised["ChangedAt"].as_str().unwrap().to_owned();
        let raised: Raised = (alarm, at);
        self.book.raise(&self.name, vec![raised]);
    }

    /// Asks for a digest.
    async fn ask(&self) {
        let ask = self.message("SendAlarmDigest", &json!({"UserID": self.name}));
        let asked = self.producer.publish(ask).await;
        asked.expect("the broker takes it before the deadline");
    }

    /// Waits until at most so many alarms are not told.
    async fn told(&self, untold_max: usize) {
        loop {
            let next = self.book.told.notified();
            if self.page().untold().len() <= untold_max {
                return;
            }
            next.await;
        }
    }

    fn change(&mut self, alarm: &str, status: &str) -> Value {
        let at = format!("2026-01-31T12:00:00.{:09}Z", self.now);
        self.now += 1;
        json!({"AlarmID": alarm, "UserID": self.name, "Status": status, "ChangedAt": at})
    }

    fn message(&self, topic: &str, payload: &Value) -> Message {
        Message::json(topic, payload).unwrap().key(&self.name)
    }
}
