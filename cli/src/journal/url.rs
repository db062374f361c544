//! The journal that a command speaks to.

use std::fmt::{self, Display};
use std::path::Path;
use std::str::FromStr;

use griot::journal::JournalError;
use griot::journals::{self, Opened};

use crate::failure::Failure;
use crate::url::shown;

/// The URL of a journal, which this program could use as far as can be told without connecting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalUrl(String);

impl JournalUrl {
    /// Whether it is the log in the data directory.
    pub(crate) fn is_embedded(&self) -> bool {
        self.0 == journals::EMBEDDED
    }

    /// Without a password.
    pub(crate) fn shown(&self) -> String {
        shown(&self.0)
    }

    /// Opens it; the embedded one is that of `directory`.
    ///
    /// # Errors
    ///
    /// [`Failure::Journal`], with the URL and the reason.
    pub(crate) async fn open(&self, directory: &Path) -> Result<Opened, Failure> {
        let opened = journals::open(&self.0, directory).await;
        opened.map_err(|source| self.failed(directory, source))
    }

    /// Says which journal it is that cannot be used.
    pub(crate) fn failed(&self, directory: &Path, source: JournalError) -> Failure {
        let journal = if self.is_embedded() {
            format!("in {}", directory.display())
        } else {
            self.shown()
        };
        Failure::Journal { journal, source }
    }
}

impl FromStr for JournalUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        // In its own words: that it is about a journal is said by the flag.
        let reason = |error: JournalError| match error {
            JournalError::Store(reason) => reason.to_string(),
            other => other.to_string(),
        };
        journals::check_url(url).map_err(reason)?;
        Ok(Self(url.to_owned()))
    }
}

/// All of it: it is what a configuration is written with. People are shown [`JournalUrl::shown`].
impl Display for JournalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
