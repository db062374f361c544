//! RabbitMQ behind a network that is slow, cut, half-open or forgetful.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::net::SocketAddr;
use std::sync::Arc;

use griot_events::Broker;
use griot_rabbitmq::RabbitBroker;
use griot_testkit::{BrokerNetwork, ToxicBroker};

fn toxic() -> Option<impl BrokerNetwork> {
    let url = rig::running()?;
    let (login, server) = url.rsplit_once('@').unwrap();
    let (login, server) = (login.to_owned(), server.trim_end_matches('/'));
    let open = move |proxy: SocketAddr| {
        let url = format!("{login}@{proxy}?heartbeat_seconds=2&timeout_seconds=4");
        async move {
            let broker = RabbitBroker::connect(&url).await.unwrap();
            Arc::new(broker) as Arc<dyn Broker>
        }
    };
    ToxicBroker::from_environment(server, open)
}

griot_testkit::broker_network_suite!(match toxic() {
    Some(network) => network,
    None => return,
});
