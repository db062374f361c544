//! A broker over a server, behind a network that is slow, cut, half-open or forgetful.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use griot_events::Broker;
use griot_remote::Limits;
use griot_testkit::{BrokerNetwork, ToxicBroker};
use rig::{Server, Store};

fn toxic() -> Option<impl BrokerNetwork> {
    let limits = Limits {
        silence_max: Duration::from_secs(2),
        ..Limits::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start_with(Store::memory(), None, limits));
    let address = server.address().to_string();
    let open = move |proxy: SocketAddr| {
        // The server lives as long as the network before it.
        let _server = &server;
        let url = format!("http://{proxy}?timeout_seconds=2&silence_seconds=2");
        async move { Arc::new(rig::connect(&url).await) as Arc<dyn Broker> }
    };
    ToxicBroker::from_environment(address, open)
}

griot_testkit::broker_network_suite!(match toxic() {
    Some(network) => network,
    None => return,
});
