//! The read model of `griot serve`.

use std::time::Duration;

use griot::projection::ProjectionError;
use griot::sql::{Kept, passes_by_itself};
use tokio::time::timeout;

use super::ReadModelUrl;
use crate::failure::Failure;
use crate::settings::Settings;

/// How long a start waits for the read model; what takes longer goes on beside it.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// The one that the settings name.
pub(crate) fn url(settings: &Settings) -> ReadModelUrl {
    let said = settings.read_model.clone();
    said.unwrap_or_else(|| ReadModelUrl::in_directory(&settings.data_dir))
}

/// Waits until a service's tables are kept, if it has some, or they cannot be for now: then they are there later.
///
/// # Errors
///
/// [`Failure::ReadModel`] and [`Failure::Journal`] for one that says no.
pub(crate) async fn begun(settings: &Settings, kept: Option<&Kept>) -> Result<(), Failure> {
    let Some(kept) = kept else { return Ok(()) };
    match timeout(FIRST_MAX, kept.first()).await {
        Ok(Err(error)) if !passes_by_itself(&error) => Err(match error {
            ProjectionError::Journal(source) => settings.journal.failed(&settings.data_dir, source),
            source => url(settings).failed(source),
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}
