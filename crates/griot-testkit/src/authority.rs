//! Somebody who signs certificates, and where they lie.

#![expect(clippy::unwrap_used, reason = "a test has nowhere else to go")]

use std::fmt;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority that nobody knows but by its file, made anew each time.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// Whom a server lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Anybody.
    Anybody,
    /// Those who show a certificate that the authority signed.
    Signed,
}

impl Authority {
    /// Begins.
    ///
    /// # Panics
    ///
    /// When it cannot be written down.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(parameters, key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    /// The file by which it is known.
    pub fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// Signs a certificate for a name: its file, and that of its key.
    ///
    /// # Panics
    ///
    /// When it cannot be written down.
    pub fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let files = (
            self.path(&format!("{name}.crt")),
            self.path(&format!("{name}.key")),
        );
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    /// What a server of this name speaks TLS by.
    ///
    /// # Panics
    ///
    /// When it cannot be written down.
    pub fn server(&self, name: &str, clients: Clients) -> ServerConfig {
        let (certificate, key) = self.sign(name);
        let config = ServerConfig::builder();
        let config = match clients {
            Clients::Anybody => config.with_no_client_auth(),
            Clients::Signed => {
                let mut roots = RootCertStore::empty();
                roots.add(self.issuer.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                config.with_client_cert_verifier(verifier.unwrap())
            }
        };
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        config.with_single_cert(chain, key).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Authority");
        shown.field("directory", &self.directory);
        shown.finish_non_exhaustive()
    }
}
