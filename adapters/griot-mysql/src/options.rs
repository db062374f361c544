//! What can be set, and how a URL says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::mysql::MySqlConnectOptions;
use url::Url;

use crate::MysqlError;

/// How to reach the server, and what is asked of it.
///
/// ```
/// use griot_mysql::MysqlOptions;
///
/// let url = "mysql://ann:secret@db.example/shop?ssl-mode=verify_identity&ssl-ca=/etc/ca.pem&connections=4";
/// let options: MysqlOptions = url.parse()?;
/// assert_eq!((options.database.as_str(), options.connections), ("shop", 4));
/// # Ok::<(), griot_mysql::MysqlError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct MysqlOptions {
    /// Where the server is, who we are, and whether TLS is spoken.
    pub server: MySqlConnectOptions,
    /// The database that everything is kept in, and that is made where it is missing.
    pub database: String,
    /// How many connections there are for reading, beside the one that appends: `?connections=8`.
    pub connections: u32,
    /// How long an answer of the server is waited for: `?timeout_seconds=30`.
    pub timeout: Duration,
    /// How often it is asked whether another process has appended, while somebody waits for that:
    /// `?poll_ms=50`.
    pub poll: Duration,
}

impl MysqlOptions {
    /// This database of this server, and everything else as it is unless said otherwise.
    pub fn new(server: MySqlConnectOptions, database: impl Into<String>) -> Self {
        Self {
            server,
            database: database.into(),
            connections: 8,
            timeout: Duration::from_secs(30),
            poll: Duration::from_millis(50),
        }
    }

    /// Takes what is ours; `false` where it is the server's.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, MysqlError> {
        match name {
            "connections" => self.connections = number(name, value)?,
            "timeout_seconds" => self.timeout = Duration::from_secs(number(name, value)?.into()),
            "poll_ms" => self.poll = Duration::from_millis(number(name, value)?.into()),
            "ssl-mode" | "ssl-ca" | "ssl-cert" | "ssl-key" => return Ok(false),
            _ => {
                return Err(refused(format!(
                    "{name} is no setting: use connections, timeout_seconds, poll_ms, ssl-mode, ssl-ca, ssl-cert or ssl-key"
                )));
            }
        }
        Ok(true)
    }

    /// How each connection is made.
    pub(crate) fn session(&self) -> MySqlConnectOptions {
        self.outside().database(&self.database)
    }

    /// The same without the database, which may not be there yet.
    pub(crate) fn outside(&self) -> MySqlConnectOptions {
        self.server.clone().disable_statement_logging()
    }
}

impl FromStr for MysqlOptions {
    type Err = MysqlError;

    fn from_str(url: &str) -> Result<Self, MysqlError> {
        let mut url = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err(refused("use mysql:// or mariadb://".to_owned()));
        }
        let mut options = Self::new(MySqlConnectOptions::new(), "");
        let mut of_server = Vec::new();
        for (name, value) in url.query_pairs() {
            if !options.set(&name, &value)? {
                of_server.push((name.into_owned(), value.into_owned()));
            }
        }
        url.query_pairs_mut().clear().extend_pairs(of_server);
        options.server =
            MySqlConnectOptions::from_url(&url).map_err(|error| refused(error.to_string()))?;
        let named = options
            .server
            .get_database()
            .filter(|name| !name.is_empty());
        options.database = named
            .ok_or_else(|| refused("name the database: mysql://HOST/DATABASE".to_owned()))?
            .to_owned();
        // The driver has no way to take the name out again.
        url.set_path("");
        options.server =
            MySqlConnectOptions::from_url(&url).map_err(|error| refused(error.to_string()))?;
        Ok(options)
    }
}

fn number(name: &str, value: &str) -> Result<u32, MysqlError> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| {
        refused(format!(
            "{name}={value}: give a whole number from 1, and not too large"
        ))
    })
}

fn refused(reason: String) -> MysqlError {
    MysqlError::Url { reason }
}

/// Without what is secret.
impl fmt::Debug for MysqlOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("MysqlOptions");
        shown.field("host", &self.server.get_host());
        shown.field("port", &self.server.get_port());
        shown.field("database", &self.database);
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sqlx::mysql::MySqlSslMode;

    use super::*;

    #[test]
    fn a_url_says_where_who_and_how() {
        let url = "mariadb://an%3an:s%40cret@h:7/shop?ssl-mode=verify_ca&timeout_seconds=3&poll_ms=9&connections=2";
        let options: MysqlOptions = url.parse().unwrap();
        let server = &options.server;
        assert_eq!((server.get_host(), server.get_port()), ("h", 7));
        assert_eq!(
            (server.get_username(), server.get_database()),
            ("an:n", None)
        );
        assert!(matches!(server.get_ssl_mode(), MySqlSslMode::VerifyCa));
        assert_eq!(
            (options.database.as_str(), options.connections),
            ("shop", 2)
        );
        assert_eq!(
            (options.timeout, options.poll),
            (Duration::from_secs(3), Duration::from_millis(9))
        );
        let shown = format!("{options:?}");
        assert!(shown.contains("shop") && !shown.contains("cret"), "{shown}");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, said) in [
            ("postgres://h/d", "mysql://"),
            ("h", "relative URL"),
            ("mysql://h", "name the database"),
            ("mysql://h/d?speed=9", "poll_ms"),
            ("mysql://h/d?connections=0", "from 1"),
            ("mysql://h/d?ssl-mode=perhaps", "perhaps"),
        ] {
            let error = url.parse::<MysqlOptions>().unwrap_err().to_string();
            assert!(error.contains(said), "{url}: {error}");
        }
    }
}
