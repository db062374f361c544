//! RabbitMQ behind TLS: whom the adapter trusts, and as whom it comes.

#[path = "rig/server.rs"]
mod rig;

use griot_events::{Broker, BrokerError, Order};
use griot_rabbitmq::RabbitBroker;
use griot_testkit::probe::{message, publish, subscribe, take, topic};
use griot_testkit::{Authority, Clients, Relay};
use rig::{address, connect, running};

fn url(host: &str, relay: &Relay, settings: &str) -> String {
    let port = relay.address().port();
    format!("amqps://griot:griot@{host}:{port}?timeout_seconds=30{settings}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_travel_over_tls_with_an_authority_of_ones_own() {
    let Some(server) = running() else { return };
    let authority = Authority::new();
    let tls = authority.server("localhost", Clients::Anybody);
    let relay = Relay::with_tls(address(&server), tls).await;
    let ca = format!("&ca={}", authority.ca());
    let broker = connect(&url("localhost", &relay, &ca)).await;
    let topic = topic("tls");
    publish(&broker, vec![message(&topic, "k", "1")]).await;
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["1"]);
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_known_is_refused() {
    let Some(server) = running() else { return };
    let authority = Authority::new();
    let tls = authority.server("localhost", Clients::Anybody);
    let relay = Relay::with_tls(address(&server), tls).await;
    let ca = format!("&ca={}", authority.ca());
    for url in [url("localhost", &relay, ""), url("127.0.0.1", &relay, &ca)] {
        let refused = RabbitBroker::connect(&url).await.unwrap_err();
        assert!(
            matches!(refused, BrokerError::Refused { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("?ca=PATH"), "{refused}");
    }
    let nowhere = url("localhost", &relay, "&ca=/nowhere/ca.pem");
    let refused = RabbitBroker::connect(&nowhere).await.unwrap_err();
    assert!(refused.to_string().contains("/nowhere/ca.pem"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_to_know_its_clients_is_shown_a_certificate() {
    let Some(server) = running() else { return };
    let authority = Authority::new();
    let tls = authority.server("localhost", Clients::Signed);
    let relay = Relay::with_tls(address(&server), tls).await;
    let (certificate, key) = authority.sign("griot");
    let ca = format!("&ca={}", authority.ca());
    let refused = RabbitBroker::connect(&url("localhost", &relay, &ca)).await;
    assert!(refused.is_err());
    let identity = format!("{ca}&cert={certificate}&key={key}");
    let broker = connect(&url("localhost", &relay, &identity)).await;
    broker.check().await.unwrap();
}
