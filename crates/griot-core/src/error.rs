//! What can be wrong with a name or a payload.

/// An error of this crate: a malformed name, or a payload that cannot be encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// An entity's kind is empty, too long, or contains `/`.
    #[error(
        "the kind {0:?} of an entity is not usable: use 1 to 64 bytes without `/` or control characters"
    )]
    Kind(String),
    /// An entity's id is empty, too long, or contains a control character.
    #[error(
        "the id of an entity is not usable: use 1 to {max} bytes without control characters (got {length} bytes)",
        max = crate::EntityId::ID_BYTES_MAX
    )]
    Id {
        /// How many bytes it had.
        length: usize,
    },
    /// A timestamp is not RFC 3339.
    #[error("{text:?} is not a time: write it as RFC 3339, for example 2026-01-31T12:00:00Z")]
    Time {
        /// What was given.
        text: String,
        /// What the parser says.
        source: jiff::Error,
    },
    /// A value cannot be written as an event, an effect or a reply.
    #[error("{what} cannot be encoded: {reason}")]
    Encode {
        /// What was being encoded.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A decision wants an effect that the runtime could not perform.
    #[error("the {what} {name:?} is not registered: add it where its kind of entity is registered")]
    NotRegistered {
        /// A call, a command, or a kind of entity.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Recorded bytes do not fit the type that should read them.
    #[error(
        "the recorded {name:?} cannot be decoded: {reason}; keep the old shape readable, by an upcast or a serde default"
    )]
    Decode {
        /// The recorded name.
        name: String,
        /// Why not.
        reason: String,
    },
}
