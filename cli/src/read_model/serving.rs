//! The read model of `griot serve`.

use std::time::Duration;

use griot::projection::ProjectionError;
use griot::sql::{Migrations, SqlTarget, is_unreachable};

use super::ReadModelUrl;
use crate::failure::Failure;
use crate::settings::Settings;

/// Between two attempts to reach the database when the program starts.
const RETRY: Duration = Duration::from_secs(1);

/// The one that the settings name.
fn url(settings: &Settings) -> ReadModelUrl {
    let said = settings.read_model.clone();
    said.unwrap_or_else(|| ReadModelUrl::in_directory(&settings.data_dir))
}

/// Opens it, with tables made by `migrations`; a server that does not answer is waited for.
///
/// # Errors
///
/// [`Failure::ReadModel`], with the URL and the reason.
pub(crate) async fn open(
    settings: &Settings,
    migrations: Migrations,
) -> Result<SqlTarget, Failure> {
    let url = url(settings);
    loop {
        let error = match url.open(migrations.clone()).await {
            Ok(target) => return Ok(target),
            Err(error) if url.has_a_server() && is_unreachable(&error) => error,
            Err(error) => return Err(url.failed(error)),
        };
        tracing::warn!(%url, %error, "the read model cannot be opened, it is tried again");
        tokio::time::sleep(RETRY).await;
    }
}

/// Says which one it is that cannot be used.
pub(crate) fn failed(settings: &Settings, source: ProjectionError) -> Failure {
    url(settings).failed(source)
}
