//! RabbitMQ behind TLS: whom the adapter trusts, and as whom it comes.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/proxy.rs"]
mod proxy;
#[path = "rig/server.rs"]
mod rig;

use std::path::Path;
use std::sync::Arc;

use griot_events::{Broker, BrokerError, Order};
use griot_rabbitmq::RabbitBroker;
use proxy::Proxy;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rig::{connect, message, publish, running, subscribe, take, topic};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority, and files with what it signed.
struct Papers {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// Whom a server lets in.
enum Clients {
    Anybody,
    /// Those whom the authority knows.
    Known,
}

impl Papers {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { authority, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate for a name, and its key.
    fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.authority).unwrap(), key)
    }

    /// Of a server for these clients.
    fn server(&self, clients: Clients) -> ServerConfig {
        let (certificate, key) = self.signed("localhost");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder();
        let config = match clients {
            Clients::Anybody => config.with_no_client_auth(),
            Clients::Known => {
                let mut roots = RootCertStore::empty();
                roots.add(self.authority.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                config.with_client_cert_verifier(verifier.unwrap())
            }
        };
        let chain = vec![certificate.der().clone()];
        config.with_single_cert(chain, key).unwrap()
    }
}

fn url(host: &str, proxy: &Proxy, settings: &str) -> String {
    let port = proxy.port;
    format!("amqps://griot:griot@{host}:{port}?timeout_seconds=30{settings}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_travel_over_tls_with_an_authority_of_ones_own() {
    let Some(server) = running() else { return };
    let papers = Papers::new();
    let proxy = Proxy::with_tls(&server, papers.server(Clients::Anybody)).await;
    let ca = format!("&ca={}", papers.path().join("ca.pem").display());
    let broker = connect(&url("localhost", &proxy, &ca)).await;
    let topic = topic("tls");
    publish(&broker, vec![message(&topic, "k", "1")]).await;
    let mut source = subscribe(&broker, &topic, "g", Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["1"]);
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_known_is_refused() {
    let Some(server) = running() else { return };
    let papers = Papers::new();
    let proxy = Proxy::with_tls(&server, papers.server(Clients::Anybody)).await;
    let ca = format!("&ca={}", papers.path().join("ca.pem").display());
    for url in [url("localhost", &proxy, ""), url("127.0.0.1", &proxy, &ca)] {
        let refused = RabbitBroker::connect(&url).await.unwrap_err();
        assert!(
            matches!(refused, BrokerError::Refused { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("?ca=PATH"), "{refused}");
    }
    let nowhere = url("localhost", &proxy, "&ca=/nowhere/ca.pem");
    let refused = RabbitBroker::connect(&nowhere).await.unwrap_err();
    assert!(refused.to_string().contains("/nowhere/ca.pem"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_to_know_its_clients_is_shown_a_certificate() {
    let Some(server) = running() else { return };
    let papers = Papers::new();
    let proxy = Proxy::with_tls(&server, papers.server(Clients::Known)).await;
    let (certificate, key) = papers.signed("griot");
    std::fs::write(papers.path().join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(papers.path().join("key.pem"), key.serialize_pem()).unwrap();
    let folder = papers.path().display();
    let ca = format!("&ca={folder}/ca.pem");
    let refused = RabbitBroker::connect(&url("localhost", &proxy, &ca)).await;
    assert!(refused.is_err());
    let identity = format!("{ca}&cert={folder}/cert.pem&key={folder}/key.pem");
    let broker = connect(&url("localhost", &proxy, &identity)).await;
    broker.check().await.unwrap();
}
