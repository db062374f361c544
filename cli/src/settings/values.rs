//! Single values of the configuration, read from and written to the text people type.

use std::fmt::{self, Display};
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// Values that files and serde see as the text people write.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::settings) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::settings) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err = String>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?
            .parse()
            .map_err(Error::custom)
    }
}

/// An address to listen on, given as `IP:PORT` or `NAME:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address: write IP:PORT, such as 127.0.0.1:7070");
        text.to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .map(Self)
            .ok_or_else(wrong)
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who plays the seven order backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backends {
    /// This process.
    Simulated,
    /// Whoever answers under this base URL, which has no slash at its end.
    Http(String),
}

impl FromStr for Backends {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "simulated" => Ok(Self::Simulated),
            _ => url_of(text, &["http", "https"]).map(Self::Http),
        }
    }
}

impl Display for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulated => f.write_str("simulated"),
            Self::Http(url) => f.write_str(url),
        }
    }
}

/// Checks that `text` is a plain `http://` URL and takes the slash off its end.
pub(crate) fn base_url(text: &str) -> Result<String, String> {
    url_of(text, &["http"])
}

fn url_of(text: &str, schemes: &[&str]) -> Result<String, String> {
    let forms = schemes.join("://… or ");
    let wrong = || format!("`{text}` is not a base URL: write {forms}://HOST[:PORT][/PATH]");
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let plain =
        schemes.contains(&url.scheme()) && url.query().is_none() && url.fragment().is_none();
    if !plain || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
