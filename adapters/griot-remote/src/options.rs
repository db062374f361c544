//! Where a server is, and how long it may take.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use griot_events::BrokerError;
use url::Url;

use crate::limits::Limits;
use crate::wire::VERSION;

/// How to reach a server.
///
/// ```
/// use griot_remote::RemoteOptions;
///
/// let options: RemoteOptions = "https://griot.example?timeout_seconds=2".parse()?;
/// assert_eq!(options.timeout.as_secs(), 2);
/// # Ok::<(), griot_events::BrokerError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteOptions {
    /// The server: `http://host:port`, or `https://` where TLS is spoken. A path stands before
    /// `/broker`.
    pub url: Url,
    /// How long a connection may take, and a publication waits for one: `?timeout_seconds=5`.
    pub timeout: Duration,
    /// A server from which nothing was heard for so long is taken for lost: `?silence_seconds=20`.
    pub silence_max: Duration,
    /// Authorities in PEM form that sign the server's certificate, in place of the system's: `?ca=PATH`.
    pub ca: Option<PathBuf>,
}

impl RemoteOptions {
    /// What is connected to.
    pub(crate) fn endpoint(&self) -> Url {
        let mut endpoint = self.url.clone();
        let path = format!("{}/broker", endpoint.path().trim_end_matches('/'));
        endpoint.set_path(&path);
        endpoint.set_query(Some(&format!("version={VERSION}")));
        endpoint
    }
}

impl FromStr for RemoteOptions {
    type Err = BrokerError;

    fn from_str(text: &str) -> Result<Self, BrokerError> {
        let mut url = Url::parse(text).map_err(|error| refused(format!("{text:?}: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme();
            let reason = format!("it begins with {scheme}://: use http:// or https://");
            return Err(refused(reason));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let reason = "it has a user or a password, which a griot server does not ask for";
            return Err(refused(reason.to_owned()));
        }
        let settings: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        url.set_query(None);
        url.set_fragment(None);
        let mut options = Self {
            url,
            timeout: Duration::from_secs(5),
            silence_max: Limits::default().silence_max,
            ca: None,
        };
        for (name, value) in settings {
            options.set(&name, &value)?;
        }
        Ok(options)
    }
}

impl RemoteOptions {
    fn set(&mut self, name: &str, value: &str) -> Result<(), BrokerError> {
        let seconds = || {
            let seconds = value.parse::<u32>().ok().filter(|seconds| *seconds > 0);
            let seconds = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            seconds.ok_or_else(|| refused(format!("{name}={value}: give a whole number from 1")))
        };
        match name {
            "timeout_seconds" => self.timeout = seconds()?,
            "silence_seconds" => self.silence_max = seconds()?,
            "ca" => self.ca = Some(value.into()),
            _ => {
                let reason =
                    format!("{name} is no setting: use timeout_seconds, silence_seconds or ca");
                return Err(refused(reason));
            }
        }
        Ok(())
    }
}

fn refused(reason: String) -> BrokerError {
    BrokerError::Refused {
        what: "the URL",
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> String {
        let options: RemoteOptions = url.parse().unwrap();
        options.endpoint().into()
    }

    #[test]
    fn the_broker_is_below_the_path_of_the_server() {
        let expected = "http://127.0.0.1:7070/broker?version=1";
        assert_eq!(endpoint("http://127.0.0.1:7070"), expected);
        assert_eq!(
            endpoint("http://127.0.0.1:7070/?silence_seconds=2"),
            expected
        );
        let expected = "https://a.example/griot/broker?version=1";
        assert_eq!(endpoint("https://a.example/griot/#top"), expected);
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        for (url, named) in [
            ("127.0.0.1:7070", "127.0.0.1"),
            ("nats://a", "nats"),
            ("http://ann:secret@a", "password"),
            ("http://a?timeout_seconds=0", "timeout_seconds=0"),
            ("http://a?time=1", "time is no setting"),
            ("", "relative URL"),
        ] {
            let error = url.parse::<RemoteOptions>().unwrap_err().to_string();
            assert!(error.contains(named), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
