//! What can go wrong when the service is set up.

/// Why the backends cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrdersError {
    /// The base URL of the backends cannot be used.
    #[error("cannot use `{url}` as the URL of the backends: {reason}")]
    BackendsUrl {
        /// The URL as it was given.
        url: String,
        /// What it must be.
        reason: String,
    },
    /// What should be certificates of authorities is not.
    #[error("{reason}: give one or more certificates in PEM, from -----BEGIN CERTIFICATE----- on")]
    Authorities {
        /// What is wrong with it.
        reason: String,
    },
}
