//! Read models behind HTTP: an answer soon, or a problem that says to come again.

use std::time::Duration;

use tokio::time::timeout;

use super::Problem;
use crate::projection::ProjectionError;

/// How long reading a read model may take, of whoever waits for the answer.
const READ_MAX: Duration = Duration::from_secs(5);

/// When to come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Problem {
    /// What `reading` finds in a read model; where that fails or takes long, as it does while the database is down:
    /// 503.
    ///
    /// # Errors
    ///
    /// As `reading` fails, for which the log has the cause.
    ///
    /// # Cancel safety
    ///
    /// As `reading`.
    pub async fn unless_read<T>(
        reading: impl Future<Output = Result<T, ProjectionError>>,
    ) -> Result<T, Self> {
        match timeout(READ_MAX, reading).await {
            Ok(read) => Ok(read?),
            Err(late) => {
                tracing::warn!(%late, "a read model does not answer");
                let detail = "the list does not answer now; try again";
                Err(Self::unavailable(detail, RETRY_AFTER))
            }
        }
    }
}

/// 503: a read model cannot be read, or does not show yet what somebody waited for.
impl From<ProjectionError> for Problem {
    fn from(error: ProjectionError) -> Self {
        let detail = match error {
            ProjectionError::Late { .. } => "the list does not show the event yet; try again",
            ProjectionError::Behind { .. } => "the list is being made from the journal; try again",
            ProjectionError::Awaited { .. } => {
                "the list is not there yet: its database is waited for; try again"
            }
            _ => "the list cannot be read now; the log says why",
        };
        tracing::warn!(%error, "a read model cannot be shown");
        Self::unavailable(detail, RETRY_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_read_model_that_does_not_answer_is_503_with_retry_after() {
        let problem = Problem::unless_read(std::future::pending::<Result<(), _>>()).await;
        assert_eq!(problem.unwrap_err().status().as_u16(), 503);
        let behind = ProjectionError::Behind {
            projection: "p".to_owned(),
        };
        let problem = Problem::unless_read(async { Err::<(), _>(behind) }).await;
        let problem = problem.unwrap_err();
        assert_eq!(problem.status().as_u16(), 503);
        assert!(problem.detail().contains("being made"), "{problem:?}");
    }
}
