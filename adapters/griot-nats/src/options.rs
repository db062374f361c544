//! What can be set, and how a URL says it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use griot_events::BrokerError;
use percent_encoding::percent_decode_str;

/// How to reach NATS, and what is asked of JetStream. The README says what each setting costs.
///
/// ```
/// use griot_nats::NatsOptions;
///
/// let url = "nats://ann:secret@one.example,two.example:4223?ca=/etc/ca.pem&replicas=3";
/// let options: NatsOptions = url.parse()?;
/// assert_eq!(options.servers, ["nats://one.example", "nats://two.example:4223"]);
/// assert_eq!(options.replicas, 3);
/// # Ok::<(), griot_events::BrokerError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsOptions {
    /// Addresses of one cluster: `nats://host:port`, or `tls://` where TLS must be spoken.
    pub servers: Vec<String>,
    /// Who we are.
    pub login: Login,
    /// Certificates in PEM form by which servers are known, in place of the system's: `?ca=PATH`.
    pub ca: Option<PathBuf>,
    /// Our own certificate and key in PEM form: `?cert=PATH&key=PATH`.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Copies of each stream that is made here: `?replicas=3`. 1 unless said otherwise.
    pub replicas: usize,
    /// How long streams made here keep a message: `?max_age_seconds=604800`. For ever unless said otherwise.
    pub max_age: Option<Duration>,
    /// How large streams made here get: `?max_bytes=1073741824`. A full one refuses publications.
    pub max_bytes: Option<u64>,
    /// How long the server waits for a sign of life before it gives a message to another member:
    /// `?lease_seconds=30`. From 1 second; 30 unless said otherwise.
    pub lease: Duration,
    /// How long a publication or a request waits for its answer: `?timeout_seconds=5`.
    pub timeout: Duration,
    /// What an acknowledgement waits for: `?acks=confirmed`.
    pub acks: Acks,
}

/// Who we are.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Login {
    /// Nobody in particular.
    Anonymous,
    /// `nats://USER:PASSWORD@host`.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: String,
    },
    /// `nats://TOKEN@host`.
    Token(String),
    /// A file made by `nsc generate creds`: `?creds=PATH`.
    Credentials(PathBuf),
}

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// Nothing: one that is lost with the connection means a redelivery, which has to be borne anyway.
    #[default]
    Sent,
    /// The server's word that it has it: a round trip for each message.
    Confirmed,
}

impl NatsOptions {
    /// The server at an address, and everything else as it is unless said otherwise.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            servers: vec![server.into()],
            login: Login::Anonymous,
            ca: None,
            identity: None,
            replicas: 1,
            max_age: None,
            max_bytes: None,
            lease: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            acks: Acks::Sent,
        }
    }
}

impl FromStr for NatsOptions {
    type Err = BrokerError;

    fn from_str(url: &str) -> Result<Self, BrokerError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
        if !matches!(scheme, "nats" | "tls") {
            return Err(refused(format!(
                "it begins with {scheme}://: use nats:// or tls://"
            )));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (login_of(login)?, hosts),
            None => (Login::Anonymous, rest),
        };
        let hosts = hosts.trim_end_matches('/');
        if hosts.split(',').any(str::is_empty) {
            return Err(refused(
                "it names no host: use nats://host:port[,host:port]".to_owned(),
            ));
        }
        let mut options = Self::new("");
        options.login = login;
        options.servers = hosts
            .split(',')
            .map(|host| format!("{scheme}://{host}"))
            .collect();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(name, &decoded(value)?)?;
        }
        Ok(options)
    }
}

impl NatsOptions {
    fn set(&mut self, name: &str, value: &str) -> Result<(), BrokerError> {
        let number = || {
            let number = value.parse::<u64>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| refused(format!("{name}={value}: give a whole number from 1")))
        };
        match name {
            "creds" => self.login = Login::Credentials(value.into()),
            "token" => self.login = Login::Token(value.to_owned()),
            "ca" => self.ca = Some(value.into()),
            "cert" => self.identity.get_or_insert_default().0 = value.into(),
            "key" => self.identity.get_or_insert_default().1 = value.into(),
            "replicas" => self.replicas = usize::try_from(number()?).unwrap_or(usize::MAX),
            "max_age_seconds" => self.max_age = Some(Duration::from_secs(number()?)),
            "max_bytes" => self.max_bytes = Some(number()?),
            "lease_seconds" => self.lease = Duration::from_secs(number()?),
            "timeout_seconds" => self.timeout = Duration::from_secs(number()?),
            "acks" => {
                self.acks = match value {
                    "sent" => Acks::Sent,
                    "confirmed" => Acks::Confirmed,
                    _ => return Err(refused(format!("acks={value}: use sent or confirmed"))),
                }
            }
            _ => {
                return Err(refused(format!(
                    "{name} is no setting: use creds, token, ca, cert, key, replicas, max_age_seconds, max_bytes, lease_seconds, timeout_seconds or acks"
                )));
            }
        }
        Ok(())
    }
}

/// Without what is secret.
impl std::fmt::Debug for NatsOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("NatsOptions");
        shown.field("servers", &self.servers);
        shown.field("login", &self.login);
        shown.field("replicas", &self.replicas);
        shown.field("lease", &self.lease);
        shown.finish_non_exhaustive()
    }
}

/// Without what is secret.
impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("Anonymous"),
            Self::Password { user, .. } => write!(formatter, "Password({user})"),
            Self::Token(_) => formatter.write_str("Token"),
            Self::Credentials(path) => write!(formatter, "Credentials({})", path.display()),
        }
    }
}

fn login_of(text: &str) -> Result<Login, BrokerError> {
    Ok(match text.split_once(':') {
        Some((user, password)) => Login::Password {
            user: decoded(user)?,
            password: decoded(password)?,
        },
        None => Login::Token(decoded(text)?),
    })
}

fn decoded(text: &str) -> Result<String, BrokerError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| refused("it has percent signs that are no UTF-8".to_owned()));
    decoded.map(std::borrow::Cow::into_owned)
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

    fn parse(url: &str) -> Result<NatsOptions, BrokerError> {
        url.parse()
    }

    #[test]
    fn a_login_stands_before_the_hosts() {
        let options = parse("tls://ann:s%40cret@a:1,b").unwrap();
        assert_eq!(options.servers, ["tls://a:1", "tls://b"]);
        let expected = Login::Password {
            user: "ann".to_owned(),
            password: "s@cret".to_owned(),
        };
        assert!(options.login == expected);
        assert!(parse("nats://t0ken@a").unwrap().login == Login::Token("t0ken".to_owned()));
        assert!(!format!("{options:?}").contains("cret"));
    }

    #[test]
    fn settings_follow_a_question_mark() {
        let options = parse("nats://a/?creds=/a%20b&lease_seconds=2&acks=confirmed").unwrap();
        assert!(options.login == Login::Credentials("/a b".into()));
        assert_eq!(options.lease, Duration::from_secs(2));
        assert_eq!(options.acks, Acks::Confirmed);
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        for (url, named) in [
            ("kafka://a", "kafka"),
            ("nats://", "host"),
            ("nats://a,,b", "host"),
            ("nats://a?replicas=0", "replicas=0"),
            ("nats://a?replica=1", "replica is no setting"),
            ("nats://a?acks=maybe", "acks=maybe"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(named), "{url}: {error}");
        }
    }
}
