//! Who may sign the certificates of backends under an `https://` URL.

use crate::OrdersError;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The certificate authorities that are trusted: the machine's, and a user's own beside them.
#[derive(Debug, Clone, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Those that the machine trusts, and nobody else.
    pub fn platform() -> Self {
        Self::default()
    }

    /// Those that the machine trusts, and those whose certificates stand in `pem`.
    ///
    /// # Errors
    ///
    /// [`OrdersError::Authorities`] if `pem` holds no certificate, or one that cannot be read.
    pub fn and_of_pem(pem: &[u8]) -> Result<Self, OrdersError> {
        let refused = |reason: String| OrdersError::Authorities { reason };
        let own = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| refused(error.to_string()))?;
        if own.is_empty() {
            return Err(refused("there is no certificate in it".to_owned()));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &own {
            roots
                .add(certificate.clone())
                .map_err(|error| refused(error.to_string()))?;
        }
        Ok(Self(own))
    }

    /// All of them; the machine's are read anew.
    pub(super) fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let machine = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(machine.certs);
        roots.add_parsable_certificates(self.0.iter().cloned());
        if roots.is_empty() {
            let why = machine.errors.first();
            let why = why.map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(format!(
                "this machine trusts no certificate authority{why}: install its \
                 `ca-certificates`, or name your own authority's certificate"
            ));
        }
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_certificate_is_refused() {
        for pem in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let error = Authorities::and_of_pem(pem.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("PEM"), "{pem}: {error}");
        }
    }
}
