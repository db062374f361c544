//! Backends behind TLS: whom the program trusts, and what becomes of orders while it does not.

use std::io::Write;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::{NamedTempFile, TempDir};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::backends::{Backends, Books};
use crate::ordering::{customer_of, order};
use crate::process::{Griot, until};

/// A listener that speaks TLS and passes on to backends that do not, as a proxy in front of them does.
struct Tls {
    url: String,
    /// The certificate of the authority that signed its own.
    authority: NamedTempFile,
    accepting: JoinHandle<()>,
}

impl Tls {
    async fn before(backends: &Backends) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = backends.url.strip_prefix("http://").unwrap().to_owned();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(authority.pem().as_bytes()).unwrap();
        Self {
            url: format!("https://localhost:{port}"),
            authority: file,
            accepting: tokio::spawn(accept(listener, Arc::new(config).into(), target)),
        }
    }

    fn authority(&self) -> &str {
        self.authority.path().to_str().unwrap()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, target: String) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (tls, target) = (tls.clone(), target.clone());
        tokio::spawn(async move {
            // A client that does not trust it goes away in the middle of the handshake.
            let mut client = tls.accept(client).await?;
            let mut backend = TcpStream::connect(target).await?;
            tokio::io::copy_bidirectional(&mut client, &mut backend).await
        });
    }
}

#[tokio::test]
async fn orders_complete_over_https_with_an_authority_of_ones_own() {
    let (backends, data) = (Backends::start("1ms", "0.0").await, TempDir::new().unwrap());
    let tls = Tls::before(&backends).await;
    let flags = ["--backends", &tls.url, "--backends-ca", tls.authority()];
    let mut griot = Griot::serve(data.path(), &flags);
    let mut customer = customer_of(&griot.ready().await);
    let placed = customer.place("tls".to_owned(), order(0), Some(60)).await;
    assert_eq!(customer.ended(&placed.id).await["state"], "completed");
    let books: Books = backends.get("/books").await;
    assert!(books.keys.values().all(|page| page.effects == 1));
    assert_eq!(books.keys.len(), 6);
}

#[tokio::test]
async fn an_untrusted_certificate_is_said_once_and_the_order_goes_on_once_it_is_trusted() {
    let (backends, data) = (Backends::start("1ms", "0.0").await, TempDir::new().unwrap());
    let tls = Tls::before(&backends).await;
    let (mut griot, log) = Griot::serve_logging(data.path(), &["--backends", &tls.url]);
    let url = griot.ready().await;
    let mut customer = customer_of(&url);
    let placed = customer.place("untrusted".to_owned(), order(0), None).await;
    let retried = "griot_effect_retries_total{effect=\"fetch-customer\"}";
    until("the call was tried again", async || {
        let metrics = reqwest::get(format!("{url}/metrics")).await.ok()?;
        let metrics = metrics.text().await.ok()?;
        let count = metrics
            .lines()
            .find_map(|line| line.strip_prefix(retried))?;
        count.trim().parse().ok().filter(|count: &u64| *count >= 3)
    })
    .await;
    let path = format!("/orders/{}", placed.id);
    assert_eq!(customer.get(&path).await["state"], "placed");
    let said = log.read();
    assert_eq!(said.matches("--backends-ca").count(), 1, "{said}");
    for what in [tls.url.as_str(), "UnknownIssuer", "WARN"] {
        assert!(said.contains(what), "`{what}` is missing in: {said}");
    }
    griot.kill();

    let flags = ["--backends", &tls.url, "--backends-ca", tls.authority()];
    let mut griot = Griot::serve(data.path(), &flags);
    let customer = customer_of(&griot.ready().await);
    assert_eq!(customer.ended(&placed.id).await["state"], "completed");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted_either() {
    let (backends, data) = (Backends::start("1ms", "0.0").await, TempDir::new().unwrap());
    let tls = Tls::before(&backends).await;
    let url = tls.url.replace("localhost", "127.0.0.1");
    let flags = ["--backends", &url, "--backends-ca", tls.authority()];
    let (mut griot, log) = Griot::serve_logging(data.path(), &flags);
    let mut customer = customer_of(&griot.ready().await);
    customer.place("other".to_owned(), order(0), None).await;
    until("it is said", async || {
        log.read().contains("not valid for name").then_some(())
    })
    .await;
    let books: Books = backends.get("/books").await;
    assert!(books.keys.is_empty());
}
