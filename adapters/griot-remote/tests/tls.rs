//! A server behind a proxy that speaks TLS: whom the client trusts.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use griot_events::{Broker, BrokerError, Order};
use griot_remote::RemoteBroker;
use griot_testkit::probe::{message, publish, subscribe, take, until};
use griot_testkit::{Authority, Clients, Network, Relay};
use rig::{Server, Store, connect};

/// The proxy before a server, with a certificate for this name.
async fn proxy(server: &Server, authority: &Authority, name: &str) -> Relay {
    let tls = authority.server(name, Clients::Anybody);
    Relay::with_tls(server.address().to_string(), tls).await
}

fn url(host: &str, proxy: &Relay, settings: &str) -> String {
    format!("https://{host}:{}{settings}", proxy.address().port())
}

async fn refusal(url: &str) -> String {
    let error = RemoteBroker::connect(url).await.unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn messages_travel_over_tls_with_an_authority_of_ones_own_also_after_a_cut() {
    let server = Server::start(Store::memory()).await;
    let authority = Authority::new();
    let proxy = proxy(&server, &authority, "localhost").await;
    let broker = connect(&url(
        "localhost",
        &proxy,
        &format!("?ca={}", authority.ca()),
    ))
    .await;
    publish(&broker, vec![message("orders", "k", 1)]).await;
    let mut source = subscribe(&broker, "orders", "g", Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["1"]);
    proxy.set(Network::Cut);
    until("the cut is noticed", || async {
        broker.check().await.is_err()
    })
    .await;
    proxy.set(Network::Whole);
    until("it is connected again", || async {
        broker.check().await.is_ok()
    })
    .await;
    publish(&broker, vec![message("orders", "k", 2)]).await;
    assert_eq!(take(&mut source, 1).await, ["2"]);
}

#[tokio::test]
async fn a_server_whose_authority_nobody_named_is_refused_and_how_to_name_it_is_said() {
    let server = Server::start(Store::memory()).await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let proxy = proxy(&server, &authority, "localhost").await;
    for settings in [String::new(), format!("?ca={}", stranger.ca())] {
        let said = refusal(&url("localhost", &proxy, &settings)).await;
        assert!(said.contains("?ca=PATH"), "{said}");
    }
    let said = refusal(&url("localhost", &proxy, "?ca=/nowhere/ca.pem")).await;
    assert!(said.contains("/nowhere/ca.pem"), "{said}");
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let server = Server::start(Store::memory()).await;
    let authority = Authority::new();
    let ca = format!("?ca={}", authority.ca());
    let elsewhere = proxy(&server, &authority, "elsewhere.example").await;
    let said = refusal(&url("localhost", &elsewhere, &ca)).await;
    assert!(said.contains("elsewhere.example"), "{said}");
    // Whom the certificate names is asked for, not where it listens.
    let here = proxy(&server, &authority, "localhost").await;
    refusal(&url("127.0.0.1", &here, &ca)).await;
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_refused() {
    let server = Server::start(Store::memory()).await;
    let authority = Authority::new();
    let plain = server
        .url()
        .replace("http://127.0.0.1", "https://localhost");
    let said = refusal(&format!("{plain}?ca={}", authority.ca())).await;
    assert!(said.contains("speaks TLS"), "{said}");
}
