//! Kafka behind a network that is slow, cut, half-open or forgetful.

#[path = "rig/server.rs"]
mod rig;

use std::net::SocketAddr;
use std::sync::Arc;

use griot_events::Broker;
use griot_testkit::{BrokerNetwork, ToxicBroker};

fn toxic() -> Option<impl BrokerNetwork> {
    let (listen, upstream) = rig::toxic()?;
    let open = async |proxy: SocketAddr| {
        let url = format!("kafka://{proxy}?partitions=4&session_seconds=6&timeout_seconds=2");
        Arc::new(rig::connect(&url).await) as Arc<dyn Broker>
    };
    Some(ToxicBroker::from_environment(upstream, open)?.listening_at(listen))
}

griot_testkit::broker_network_suite!(match toxic() {
    Some(network) => network,
    None => return,
});
