//! Servers that speak TLS, and logins by credentials.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/credentials.rs"]
mod credentials;
#[path = "rig/server.rs"]
mod rig;

use std::path::Path;

use credentials::Operator;
use griot_events::{BrokerError, Order};
use griot_nats::NatsBroker;
use griot_testkit::Authority;
use griot_testkit::probe::{message, publish, subscribe, take};
use rig::{Server, connect, program};

macro_rules! with_program {
    ($program:ident) => {
        let Some($program) = program() else { return };
    };
}

/// A server by this name, and more of its TLS settings.
async fn server(authority: &Authority, program: &Path, name: &str, more: &str) -> (Server, String) {
    let (certificate, key) = authority.sign(name);
    let ca = authority.ca();
    let tls =
        format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, {more} }}");
    let server = Server::start(program, &tls).await;
    let url = server.url().replace("nats://127.0.0.1", "tls://localhost");
    (server, format!("{url}?ca={ca}"))
}

async fn works(url: &str) {
    let broker = connect(url).await;
    let mut source = subscribe(&broker, "orders", "g", Order::PerKey).await;
    publish(&broker, vec![message("orders", "k", "1")]).await;
    assert_eq!(take(&mut source, 1).await, ["1"]);
}

async fn refusal(url: &str) -> String {
    let error = NatsBroker::connect(url).await.unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
    error.in_full()
}

#[tokio::test]
async fn messages_go_over_tls_where_the_authority_is_named() {
    with_program!(program);
    let authority = Authority::new();
    let (_server, url) = server(&authority, &program, "localhost", "").await;
    works(&url).await;
}

#[tokio::test]
async fn a_server_whose_authority_nobody_named_is_refused_and_how_to_name_it_is_said() {
    with_program!(program);
    let authority = Authority::new();
    let (_server, url) = server(&authority, &program, "localhost", "").await;
    let (stranger, (url, _)) = (Authority::new(), url.split_once('?').unwrap());
    let other = format!("{url}?ca={}", stranger.ca());
    for url in [url, &other] {
        let said = refusal(url).await;
        assert!(said.contains("?ca=PATH"), "{said}");
    }
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    with_program!(program);
    let authority = Authority::new();
    let (_server, url) = server(&authority, &program, "elsewhere.example", "").await;
    let said = refusal(&url).await;
    assert!(said.contains("TLS failed"), "{said}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_must_be_spoken() {
    with_program!(program);
    let server = Server::start(&program, "").await;
    let url = server.url().replace("nats://", "tls://");
    let said = refusal(&url).await;
    assert!(said.contains("TLS failed"), "{said}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_ours() {
    with_program!(program);
    let authority = Authority::new();
    let (_server, url) = server(&authority, &program, "localhost", "verify: true").await;
    let (certificate, key) = authority.sign("ann");
    works(&format!("{url}&cert={certificate}&key={key}")).await;
    let said = refusal(&url).await;
    assert!(said.contains("CertificateRequired"), "{said}");
}

#[tokio::test]
async fn credentials_of_an_account_open_its_jetstream() {
    with_program!(program);
    let operator = Operator::new();
    let server = Server::start(&program, &operator.configuration()).await;
    let directory = tempfile::tempdir().unwrap();
    let creds = directory.path().join("ann.creds");
    std::fs::write(&creds, operator.credentials()).unwrap();
    works(&format!("{}?creds={}", server.url(), creds.display())).await;
}

#[tokio::test]
async fn credentials_that_are_wrong_or_missing_are_refused() {
    with_program!(program);
    let operator = Operator::new();
    let server = Server::start(&program, &operator.configuration()).await;
    let directory = tempfile::tempdir().unwrap();
    let creds = directory.path().join("stranger.creds");
    std::fs::write(&creds, Operator::new().credentials()).unwrap();
    let said = refusal(&format!("{}?creds={}", server.url(), creds.display())).await;
    assert!(said.contains("credentials file"), "{said}");
    let missing = directory.path().join("missing.creds");
    let said = refusal(&format!("{}?creds={}", server.url(), missing.display())).await;
    assert!(said.contains("missing.creds"), "{said}");
    let said = refusal(&server.url()).await;
    assert!(said.contains("credentials file"), "{said}");
}
