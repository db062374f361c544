//! Kafka passes the suite that every broker passes.

#[path = "rig/server.rs"]
mod rig;

use std::sync::Arc;

use griot_events::Broker;

async fn open(url: String) -> Arc<dyn Broker> {
    Arc::new(rig::connect(&url).await)
}

griot_testkit::broker_suite!(match rig::running() {
    Some(url) => move || open(url.clone()),
    None => return,
});
griot_testkit::broker_kill_suite!(match rig::running() {
    Some(url) => move || open(url.clone()),
    None => return,
});
