//! RabbitMQ behind a network that is slow, cut, half-open or forgetful.

#[path = "rig/server.rs"]
mod rig;

use std::net::SocketAddr;
use std::sync::Arc;

use griot_events::Broker;
use griot_testkit::{BrokerNetwork, ToxicBroker};

fn toxic() -> Option<impl BrokerNetwork> {
    let url = rig::running()?;
    let open = async |proxy: SocketAddr| {
        let url = format!("amqp://griot:griot@{proxy}?heartbeat_seconds=2&timeout_seconds=4");
        Arc::new(rig::connect(&url).await) as Arc<dyn Broker>
    };
    ToxicBroker::from_environment(rig::address(&url), open)
}

griot_testkit::broker_network_suite!(match toxic() {
    Some(network) => network,
    None => return,
});
