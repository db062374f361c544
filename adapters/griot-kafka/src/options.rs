//! What can be set, and how a URL says it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use griot_events::{BrokerError, Cause};
use percent_encoding::percent_decode_str;

/// How to reach Kafka, and what is asked of it. The README says what each setting costs.
///
/// ```
/// use griot_kafka::KafkaOptions;
///
/// let url = "kafkas://ann:secret@one.example:9093,two.example:9093?ca=/etc/ca.pem&partitions=24";
/// let options: KafkaOptions = url.parse()?;
/// assert_eq!(options.servers, ["one.example:9093", "two.example:9093"]);
/// assert_eq!(options.partitions, 24);
/// assert!(options.tls.is_some());
/// # Ok::<(), griot_events::BrokerError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KafkaOptions {
    /// Addresses of one cluster: `host:port`.
    pub servers: Vec<String>,
    /// TLS, where it is spoken: `kafkas://`.
    pub tls: Option<Tls>,
    /// Who we are.
    pub login: Login,
    /// Partitions of each topic that is made here: `?partitions=12`.
    pub partitions: u16,
    /// Copies of each topic that is made here: `?replicas=3`. Unless said otherwise 3, or as many as
    /// there are servers.
    pub replicas: Option<u16>,
    /// Silence after which a member is taken for lost: `?session_seconds=30`.
    pub session: Duration,
    /// How long a publication or a request waits for its answer: `?timeout_seconds=10`.
    pub timeout: Duration,
    /// How long handlers of partitions that go to another member may finish: `?release_seconds=25`.
    pub release: Duration,
    /// Message ids that are remembered of a partition, to know a message that was published twice:
    /// `?remember=1000`. None with 0.
    pub remember: u16,
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// Certificates in PEM form by which servers are known, in place of the system's: `?ca=PATH`.
    pub ca: Option<PathBuf>,
    /// Our own certificate and key in PEM form: `?cert=PATH&key=PATH`.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Who we are.
#[derive(Clone)]
#[non_exhaustive]
pub enum Login {
    /// Nobody in particular, or whom our certificate names.
    Anonymous,
    /// `kafka://USER:PASSWORD@host?sasl=MECHANISM`.
    Password {
        /// How the password is proved.
        mechanism: Mechanism,
        /// The user.
        user: String,
        /// Its password.
        password: String,
    },
    /// OAUTHBEARER: `?token_file=PATH`, or a source of your own.
    Token(TokenSource),
}

/// How a password is proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mechanism {
    /// It is sent as it is: for TLS only. `?sasl=PLAIN`.
    Plain,
    /// `?sasl=SCRAM-SHA-256`.
    ScramSha256,
    /// `?sasl=SCRAM-SHA-512`, the default.
    #[default]
    ScramSha512,
}

/// A token for OAUTHBEARER.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// As the server wants it, a JSON Web Token mostly.
    pub value: String,
    /// When it ends. Another one is asked for when four fifths of the time until then are over.
    pub ends: SystemTime,
}

/// Where tokens come from.
#[derive(Clone)]
pub struct TokenSource(Arc<dyn Fn() -> Result<Token, Cause> + Send + Sync>);

/// A token from a file is read again after four fifths of this.
const FILE_LASTS: Duration = Duration::from_mins(1);

impl TokenSource {
    /// Tokens that a function gives. It is called before each ends, on a thread that serves the
    /// connection meanwhile: it must not take long.
    pub fn new(source: impl Fn() -> Result<Token, Cause> + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// The token in a file, which is read about once a minute: somebody else keeps it fresh.
    pub fn file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        Self::new(move || {
            let value = std::fs::read_to_string(&path);
            let value = value.map_err(|error| -> Cause {
                Arc::new(std::io::Error::other(format!(
                    "{}: {error}",
                    path.display()
                )))
            })?;
            Ok(Token {
                value: value.trim().to_owned(),
                ends: SystemTime::now() + FILE_LASTS,
            })
        })
    }

    pub(crate) fn token(&self) -> Result<Token, Cause> {
        (self.0)()
    }
}

impl KafkaOptions {
    /// The server at an address, and everything else as it is unless said otherwise.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            servers: vec![server.into()],
            tls: None,
            login: Login::Anonymous,
            partitions: 12,
            replicas: None,
            session: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            release: Duration::from_secs(25),
            remember: 1_000,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), BrokerError> {
        let wanted = |wanted: &str| refused(format!("{name}={value}: {wanted}"));
        let number = |least: u16| {
            let number = value.parse::<u16>().ok().filter(|number| *number >= least);
            number
                .ok_or_else(|| wanted(&format!("give a whole number from {least} to {}", u16::MAX)))
        };
        let seconds = |least| number(least).map(|seconds| Duration::from_secs(seconds.into()));
        let tls = || refused(format!("{name} is for TLS: begin the URL with kafkas://"));
        match name {
            "ca" => self.tls.as_mut().ok_or_else(tls)?.ca = Some(value.into()),
            "cert" => {
                self.tls
                    .as_mut()
                    .ok_or_else(tls)?
                    .identity
                    .get_or_insert_default()
                    .0 = value.into();
            }
            "key" => {
                self.tls
                    .as_mut()
                    .ok_or_else(tls)?
                    .identity
                    .get_or_insert_default()
                    .1 = value.into();
            }
            "sasl" => {
                let Login::Password { mechanism, .. } = &mut self.login else {
                    return Err(wanted("write USER:PASSWORD@ before the host"));
                };
                *mechanism = match value {
                    "PLAIN" => Mechanism::Plain,
                    "SCRAM-SHA-256" => Mechanism::ScramSha256,
                    "SCRAM-SHA-512" => Mechanism::ScramSha512,
                    _ => return Err(wanted("use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")),
                };
            }
            "token_file" => self.login = Login::Token(TokenSource::file(value)),
            "partitions" => self.partitions = number(1)?,
            "replicas" => self.replicas = Some(number(1)?),
            "session_seconds" => self.session = seconds(1)?,
            "timeout_seconds" => self.timeout = seconds(1)?,
            "release_seconds" => self.release = seconds(0)?,
            "remember" => self.remember = number(0)?,
            _ => {
                return Err(refused(format!(
                    "{name} is no setting: use ca, cert, key, sasl, token_file, partitions, replicas, session_seconds, timeout_seconds, release_seconds or remember"
                )));
            }
        }
        Ok(())
    }
}

impl FromStr for KafkaOptions {
    type Err = BrokerError;

    fn from_str(url: &str) -> Result<Self, BrokerError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("kafka", url));
        if !matches!(scheme, "kafka" | "kafkas") {
            return Err(refused(format!(
                "it begins with {scheme}://: use kafka://, or kafkas:// for TLS"
            )));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (login_of(login)?, hosts),
            None => (Login::Anonymous, rest),
        };
        let hosts = hosts.trim_end_matches('/');
        if hosts.split(',').any(str::is_empty) {
            let usage = "it names no host: use kafka://host:port[,host:port]";
            return Err(refused(usage.to_owned()));
        }
        let mut options = Self::new("");
        options.servers = hosts.split(',').map(str::to_owned).collect();
        options.tls = (scheme == "kafkas").then(Tls::default);
        options.login = login;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(name, &decoded(value)?)?;
        }
        Ok(options)
    }
}

/// Without what is secret.
impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("Anonymous"),
            Self::Password {
                mechanism, user, ..
            } => write!(formatter, "{mechanism:?}({user})"),
            Self::Token(_) => formatter.write_str("Token"),
        }
    }
}

/// Without what is secret.
impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Token");
        shown.field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenSource")
    }
}

fn login_of(text: &str) -> Result<Login, BrokerError> {
    let Some((user, password)) = text.split_once(':') else {
        let usage = "it has a user without a password: use kafka://USER:PASSWORD@host:port";
        return Err(refused(usage.to_owned()));
    };
    Ok(Login::Password {
        mechanism: Mechanism::default(),
        user: decoded(user)?,
        password: decoded(password)?,
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

    fn parse(url: &str) -> Result<KafkaOptions, BrokerError> {
        url.parse()
    }

    #[test]
    fn a_login_stands_before_the_hosts() {
        let options = parse("kafkas://ann:s%40cret@a:1,b:2?sasl=PLAIN").unwrap();
        assert_eq!(options.servers, ["a:1", "b:2"]);
        assert_eq!(options.tls, Some(Tls::default()));
        let Login::Password {
            mechanism,
            user,
            password,
        } = &options.login
        else {
            panic!("{options:?}");
        };
        assert_eq!(
            (*mechanism, user.as_str(), password.as_str()),
            (Mechanism::Plain, "ann", "s@cret")
        );
        assert!(!format!("{options:?}").contains("cret"));
    }

    #[test]
    fn settings_follow_a_question_mark() {
        let options =
            parse("kafkas://a:1/?ca=/a%20b&cert=/c&key=/k&session_seconds=6&remember=0").unwrap();
        let tls = options.tls.unwrap();
        assert_eq!(tls.ca, Some("/a b".into()));
        assert_eq!(tls.identity, Some(("/c".into(), "/k".into())));
        assert_eq!(
            (options.session, options.remember),
            (Duration::from_secs(6), 0)
        );
    }

    #[test]
    fn a_token_file_is_read_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let options = parse(&format!("kafka://a:1?token_file={}", path.display())).unwrap();
        let Login::Token(source) = options.login else {
            panic!("{options:?}");
        };
        assert!(source.token().unwrap_err().to_string().contains("token"));
        for value in ["one", "two"] {
            std::fs::write(&path, format!("{value}\n")).unwrap();
            assert_eq!(source.token().unwrap().value, value);
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        for (url, named) in [
            ("nats://a", "nats"),
            ("kafka://", "host"),
            ("kafka://a,,b", "host"),
            ("kafka://ann@a:1", "password"),
            ("kafka://a?partitions=0", "partitions=0"),
            ("kafka://a?partition=1", "partition is no setting"),
            ("kafka://a?ca=/ca.pem", "kafkas://"),
            ("kafka://a?sasl=PLAIN", "USER:PASSWORD"),
            ("kafka://b:c@a?sasl=GSSAPI", "SCRAM-SHA-512"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(named), "{url}: {error}");
        }
    }
}
