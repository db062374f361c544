//! The read model of `griot serve`: a database by its URL.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use griot::projection::ProjectionError;
use griot::sql::{Migrations, SqlTarget, is_unreachable};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::settings::Settings;
use crate::url::shown;

/// Between two attempts to reach the database when the program starts.
const RETRY: Duration = Duration::from_secs(1);

/// Where the read model is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ReadModelUrl(String);

impl FromStr for ReadModelUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.split_once("://") {
            _ if url.is_empty() => {
                Err("it is empty: write a path, postgres://… or mysql://…".to_owned())
            }
            None | Some(("sqlite" | "postgres" | "postgresql" | "mysql" | "mariadb", _)) => {
                let checked = SqlTarget::check_url(url);
                checked.map_err(|error| match error {
                    ProjectionError::Target(cause) => cause.to_string(),
                    error => error.to_string(),
                })?;
                Ok(Self(url.to_owned()))
            }
            Some((scheme, _)) => Err(format!(
                "`{scheme}://` is no read model of this program: write a path, sqlite://PATH, postgres://HOST/DATABASE or mysql://HOST/DATABASE"
            )),
        }
    }
}

impl TryFrom<String> for ReadModelUrl {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        url.parse()
    }
}

impl From<ReadModelUrl> for String {
    fn from(url: ReadModelUrl) -> Self {
        url.0
    }
}

/// Without a password.
impl Display for ReadModelUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl ReadModelUrl {
    /// Whether it is on a server, which may start later than this program.
    fn has_a_server(&self) -> bool {
        self.0.contains("://") && !self.0.starts_with("sqlite:")
    }
}

/// The one that the settings name.
fn url(settings: &Settings) -> ReadModelUrl {
    settings.read_model.clone().unwrap_or_else(|| {
        let path = settings.data_dir.join("read-model.sqlite");
        ReadModelUrl(path.display().to_string())
    })
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
        let error = match SqlTarget::open(&url.0, migrations.clone()).await {
            Ok(target) => return Ok(target),
            Err(error) if url.has_a_server() && is_unreachable(&error) => error,
            Err(error) => return Err(failed(settings, error)),
        };
        tracing::warn!(%url, %error, "the read model cannot be opened, it is tried again");
        tokio::time::sleep(RETRY).await;
    }
}

/// Says which one it is that cannot be used.
pub(crate) fn failed(settings: &Settings, source: ProjectionError) -> Failure {
    let url = url(settings).to_string();
    Failure::ReadModel { url, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_used_is_refused_when_it_is_read() {
        for (url, why) in [
            ("", "empty"),
            ("cassandra://host/shop", "cassandra"),
            ("postgres://me:secret@host:port/shop", "port"),
            (
                "postgres://me:secret@host/shop?connections=x",
                "invalid digit",
            ),
            ("mysql://me:secret@host", "name one"),
        ] {
            let said = url.parse::<ReadModelUrl>().unwrap_err();
            assert!(
                said.contains(why) && !said.contains("secret"),
                "{url}: {said}"
            );
        }
        for url in [
            "./items.sqlite",
            "sqlite://items",
            "postgres://host/shop?schema=s",
        ] {
            assert!(url.parse::<ReadModelUrl>().is_ok(), "{url}");
        }
    }
}
