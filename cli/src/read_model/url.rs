//! The read model that a command or a service speaks to: a database by its URL.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use griot::projection::ProjectionError;
use griot::sql::{Migrations, SqlTarget};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::url::shown;

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
    /// The one that is beside the journal unless another is said.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        let path = directory.join("read-model.sqlite");
        Self(path.display().to_string())
    }

    /// Opens it, with tables made by `migrations`.
    ///
    /// # Errors
    ///
    /// As [`SqlTarget::open`].
    pub(crate) async fn open(&self, migrations: Migrations) -> Result<SqlTarget, ProjectionError> {
        SqlTarget::open(&self.0, migrations).await
    }

    /// Opens it as it is; `None` where no projection ever kept anything.
    ///
    /// # Errors
    ///
    /// As [`SqlTarget::attach`].
    pub(crate) async fn attach(&self) -> Result<Option<SqlTarget>, ProjectionError> {
        SqlTarget::attach(&self.0).await
    }

    /// As it was given, with its password.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Says which one it is that cannot be used.
    pub(crate) fn failed(&self, source: ProjectionError) -> Failure {
        let url = self.to_string();
        Failure::ReadModel { url, source }
    }

    /// The file that it is in, unless it is on a server.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let path = self.0.strip_prefix("sqlite:").unwrap_or(&self.0);
        let path = path.strip_prefix("//").unwrap_or(path);
        (!self.has_a_server()).then(|| path.into())
    }

    /// Whether it is on a server, which may start later than this program.
    pub(crate) fn has_a_server(&self) -> bool {
        self.0.contains("://") && !self.0.starts_with("sqlite:")
    }
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
