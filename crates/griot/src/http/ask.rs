//! How a command that has no reply is answered over HTTP.

use super::Problem;
use crate::{AskError, core::Never};
use std::time::Duration;

/// What a client is told to wait before it asks again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A rejection is the domain's to word; what a limit, the journal or the network is to blame for
/// is 503, and a key that was used for something else 422.
impl<E: Into<Problem>> From<AskError<E>> for Problem {
    fn from(error: AskError<E>) -> Self {
        match error {
            AskError::Rejected(rejection) => rejection.into(),
            AskError::Unknown => Self::unavailable(
                "it may or may not have happened; send the same request with the same \
                 Idempotency-Key again to find out",
                RETRY_AFTER,
            ),
            AskError::Busy => Self::unavailable(
                "busy: nothing happened; send the same request again a little later",
                RETRY_AFTER,
            ),
            AskError::KeyReused => Self::invalid(
                "Idempotency-Key",
                "was used for another request; use a new key for a new request",
            ),
            // `Unavailable`, and whatever a later version adds.
            _ => Self::unavailable(
                "not available now: nothing happened; send the same request again later",
                RETRY_AFTER,
            ),
        }
    }
}

impl From<Never> for Problem {
    fn from(never: Never) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Overdrawn;

    impl From<Overdrawn> for Problem {
        fn from(_: Overdrawn) -> Self {
            Self::conflict("overdrawn")
        }
    }

    #[test]
    fn each_way_a_command_can_end_has_its_status() {
        let status = |error: AskError<Overdrawn>| Problem::from(error).status().as_u16();
        assert_eq!(status(AskError::Rejected(Overdrawn)), 409);
        assert_eq!(status(AskError::KeyReused), 422);
        for error in [AskError::Unknown, AskError::Busy, AskError::Unavailable] {
            assert_eq!(status(error), 503);
        }
    }
}
