//! Kafka passes the suite that every broker passes.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::sync::Arc;

use griot_events::Broker;
use griot_kafka::KafkaBroker;
use griot_testkit::BrokerFactory;

struct Running(String);

impl BrokerFactory for Running {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(KafkaBroker::connect(&self.0).await.unwrap())
    }
}

griot_testkit::broker_suite!(match rig::running() {
    Some(url) => Running(url),
    None => return,
});
griot_testkit::broker_kill_suite!(match rig::running() {
    Some(url) => Running(url),
    None => return,
});
