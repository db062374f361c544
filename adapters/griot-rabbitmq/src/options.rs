//! What can be set, and how a URL says it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use griot_events::BrokerError;
use percent_encoding::percent_decode_str;

/// The longest name of an exchange: queues are named after it, in at most 255 bytes.
const EXCHANGE_BYTES_MAX: usize = 32;

/// How to reach RabbitMQ, and what is asked of it. The README says what each setting costs.
///
/// ```
/// use griot_rabbitmq::RabbitOptions;
///
/// let url = "amqps://ann:secret@one.example,two.example:5673/shop?ca=/etc/ca.pem&replicas=3";
/// let options: RabbitOptions = url.parse()?;
/// assert_eq!(options.servers, [("one.example".to_owned(), 5671), ("two.example".to_owned(), 5673)]);
/// assert_eq!(options.vhost, "shop");
/// assert_eq!(options.replicas, Some(3));
/// # Ok::<(), griot_events::BrokerError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RabbitOptions {
    /// Hosts and ports of one cluster. They are tried in turn.
    pub servers: Vec<(String, u16)>,
    /// Whether TLS is spoken: `amqps://`.
    pub security: Security,
    /// Who we are.
    pub login: Login,
    /// The virtual host; `/` unless said otherwise.
    pub vhost: String,
    /// Certificates in PEM form by which servers are known, beside the system's: `?ca=PATH`.
    pub ca: Option<PathBuf>,
    /// Our own certificate and key in PEM form: `?cert=PATH&key=PATH`.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The exchange that everything is published to, and what the names of all queues begin with:
    /// `?exchange=griot`.
    pub exchange: String,
    /// Copies of what is made here: `?replicas=3`. As many as the server thinks fit unless said otherwise.
    pub replicas: Option<u32>,
    /// How long logs made here keep a message: `?max_age_seconds=604800`. For ever unless said otherwise.
    pub max_age: Option<Duration>,
    /// How large logs made here get: `?max_bytes=1073741824`. Of a full one the oldest messages are dropped.
    pub max_bytes: Option<u64>,
    /// How many messages of its log before it a message id is looked for in: `?repeats_within=10000`.
    pub repeats_within: u32,
    /// How often each side gives a sign of life; two that are missing end the connection:
    /// `?heartbeat_seconds=10`.
    pub heartbeat: Duration,
    /// How long a publication or a request waits for its answer: `?timeout_seconds=10`.
    pub timeout: Duration,
}

/// Whether TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// No: `amqp://`.
    #[default]
    Plain,
    /// Yes: `amqps://`.
    Tls,
}

/// Who we are.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Login {
    /// `amqp://USER:PASSWORD@host`; `guest` and `guest` unless said otherwise. A token of OAuth 2 is a password.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: String,
    },
    /// Whom our certificate names: `?login=certificate`.
    Certificate,
}

impl RabbitOptions {
    /// The server at a host and port, and everything else as it is unless said otherwise.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            servers: vec![(host.into(), port)],
            security: Security::Plain,
            login: Login::Password {
                user: "guest".to_owned(),
                password: "guest".to_owned(),
            },
            vhost: "/".to_owned(),
            ca: None,
            identity: None,
            exchange: "griot".to_owned(),
            replicas: None,
            max_age: None,
            max_bytes: None,
            repeats_within: 10_000,
            heartbeat: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), BrokerError> {
        match name {
            "ca" => self.ca = Some(value.into()),
            "cert" => self.identity.get_or_insert_default().0 = value.into(),
            "key" => self.identity.get_or_insert_default().1 = value.into(),
            "login" if value == "certificate" => self.login = Login::Certificate,
            "exchange" if (1..=EXCHANGE_BYTES_MAX).contains(&value.len()) => {
                value.clone_into(&mut self.exchange);
            }
            "login" => return Err(refused(format!("login={value}: use certificate"))),
            "exchange" => {
                return Err(refused(format!(
                    "exchange={value}: give a name of at most {EXCHANGE_BYTES_MAX} bytes"
                )));
            }
            "replicas" => self.replicas = Some(number(name, value)?),
            "max_age_seconds" => {
                self.max_age = Some(Duration::from_secs(number::<u32>(name, value)?.into()));
            }
            "max_bytes" => self.max_bytes = Some(number(name, value)?),
            "repeats_within" => self.repeats_within = number(name, value)?,
            "heartbeat_seconds" => {
                self.heartbeat = Duration::from_secs(number::<u16>(name, value)?.into());
            }
            "timeout_seconds" => {
                self.timeout = Duration::from_secs(number::<u32>(name, value)?.into());
            }
            _ => {
                return Err(refused(format!(
                    "{name} is no setting: use login, ca, cert, key, exchange, replicas, max_age_seconds, max_bytes, repeats_within, heartbeat_seconds or timeout_seconds"
                )));
            }
        }
        Ok(())
    }
}

impl FromStr for RabbitOptions {
    type Err = BrokerError;

    fn from_str(url: &str) -> Result<Self, BrokerError> {
        let (security, port, rest) = match url.split_once("://") {
            Some(("amqp", rest)) => (Security::Plain, 5_672, rest),
            Some(("amqps", rest)) => (Security::Tls, 5_671, rest),
            _ => return Err(refused("use amqp:// or amqps://".to_owned())),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let (hosts, vhost) = rest.split_once('/').unwrap_or((rest, ""));
        let mut options = Self::new("", port);
        let servers = hosts.split(',').map(|host| server_of(host, port));
        options.servers = servers.collect::<Result<_, _>>()?;
        options.security = security;
        if let Some(login) = login {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            options.login = Login::Password {
                user: decoded(user)?,
                password: decoded(password)?,
            };
        }
        if !vhost.is_empty() {
            options.vhost = decoded(vhost)?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(name, &decoded(value)?)?;
        }
        Ok(options)
    }
}

/// A host with its port, or with the usual one; an IPv6 address stands in brackets.
fn server_of(text: &str, usual: u16) -> Result<(String, u16), BrokerError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let number = port.parse();
            let wrong = |_| refused(format!("{port} is no port"));
            (host, number.map_err(wrong)?)
        }
        _ => (text, usual),
    };
    if host.is_empty() {
        let reason = "it names no host: use amqp://host:port[,host:port]/vhost";
        return Err(refused(reason.to_owned()));
    }
    Ok((host.to_owned(), port))
}

fn number<N: FromStr + PartialOrd + Default>(name: &str, value: &str) -> Result<N, BrokerError> {
    let number = value.parse::<N>().ok();
    let number = number.filter(|number| *number > N::default());
    number.ok_or_else(|| {
        refused(format!(
            "{name}={value}: give a whole number from 1, and not too large"
        ))
    })
}

fn decoded(text: &str) -> Result<String, BrokerError> {
    let text = percent_decode_str(text).decode_utf8();
    let wrong = |_| refused("its percent-encoded bytes are no UTF-8".to_owned());
    Ok(text.map_err(wrong)?.into_owned())
}

fn refused(reason: String) -> BrokerError {
    BrokerError::Refused {
        what: "the RabbitMQ URL",
        reason,
    }
}

/// Without what is secret.
impl std::fmt::Debug for RabbitOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("RabbitOptions");
        shown.field("servers", &self.servers);
        shown.field("security", &self.security);
        shown.field("vhost", &self.vhost);
        shown.field("login", &self.login);
        shown.field("exchange", &self.exchange);
        shown.finish_non_exhaustive()
    }
}

/// Without what is secret.
impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => {
                let mut shown = formatter.debug_struct("Password");
                shown.field("user", user).finish_non_exhaustive()
            }
            Self::Certificate => formatter.write_str("Certificate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> RabbitOptions {
        url.parse().unwrap()
    }

    #[test]
    fn a_url_says_where_and_who() {
        let options = parse("amqp://localhost");
        assert_eq!(options, RabbitOptions::new("localhost", 5_672));
        let options = parse("amqps://an%3an:s%40cret@[::1],two:7/%2Fshop%2F");
        let servers = [("[::1]".to_owned(), 5_671), ("two".to_owned(), 7)];
        assert_eq!(options.servers, servers);
        assert_eq!(options.security, Security::Tls);
        assert_eq!(options.vhost, "/shop/");
        let (user, password) = ("an:n".to_owned(), "s@cret".to_owned());
        assert_eq!(options.login, Login::Password { user, password });
        assert_eq!(parse("amqp://localhost/").vhost, "/");
    }

    #[test]
    fn settings_are_read_by_name() {
        let options = parse(
            "amqps://h?login=certificate&ca=/ca.pem&cert=/c.pem&key=/k.pem&exchange=shop&replicas=3&max_age_seconds=60&max_bytes=1000&repeats_within=5&heartbeat_seconds=2&timeout_seconds=3",
        );
        assert_eq!(options.login, Login::Certificate);
        assert_eq!(options.ca, Some("/ca.pem".into()));
        let identity = ("/c.pem".into(), "/k.pem".into());
        assert_eq!(options.identity, Some(identity));
        assert_eq!(options.exchange, "shop");
        assert_eq!(options.replicas, Some(3));
        assert_eq!(options.max_age, Some(Duration::from_mins(1)));
        assert_eq!(options.max_bytes, Some(1_000));
        assert_eq!(options.repeats_within, 5);
        assert_eq!(options.heartbeat, Duration::from_secs(2));
        assert_eq!(options.timeout, Duration::from_secs(3));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, said) in [
            ("kafka://h", "amqp://"),
            ("amqp://", "no host"),
            ("amqp://a,,b", "no host"),
            ("amqp://h:x", "no port"),
            ("amqp://h?replicas=0", "from 1"),
            ("amqp://h?heartbeat_seconds=70000", "too large"),
            ("amqp://h?login=none", "certificate"),
            ("amqp://h?exchange=", "at most 32"),
            ("amqp://h?speed=9", "repeats_within"),
            ("amqp://%ff@h", "UTF-8"),
        ] {
            let error = url.parse::<RabbitOptions>().unwrap_err();
            assert!(error.to_string().contains(said), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", parse("amqp://ann:secret@h"));
        assert!(
            shown.contains("ann") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
