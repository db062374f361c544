//! What can be set, and how a URL says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::PostgresError;

/// The longest name that PostgreSQL takes.
const SCHEMA_BYTES_MAX: usize = 63;

/// How to reach PostgreSQL, and what is asked of it.
///
/// ```
/// use griot_postgres::PostgresOptions;
///
/// let url = "postgres://ann:secret@db.example/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem&connections=4";
/// let options: PostgresOptions = url.parse()?;
/// assert_eq!((options.schema.as_str(), options.connections), ("griot", 4));
/// # Ok::<(), griot_postgres::PostgresError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// Where the server is, who we are, and whether TLS is spoken.
    pub server: PgConnectOptions,
    /// The schema that everything is kept in, and that is made where it is missing: `?schema=griot`.
    pub schema: String,
    /// How many connections there are for reading, beside the one that appends and the one that listens:
    /// `?connections=8`.
    pub connections: u32,
    /// How long an answer of the server is waited for: `?timeout_seconds=30`.
    pub timeout: Duration,
    /// How often it is asked whether another process has appended, while somebody waits for that:
    /// `?poll_ms=50`.
    pub poll: Duration,
}

impl PostgresOptions {
    /// This server, and everything else as it is unless said otherwise.
    pub fn new(server: PgConnectOptions) -> Self {
        Self {
            server,
            schema: "griot".to_owned(),
            connections: 8,
            timeout: Duration::from_secs(30),
            poll: Duration::from_millis(50),
        }
    }

    /// Takes what is ours; `false` where it is the server's.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, PostgresError> {
        match name {
            "schema" => value.clone_into(&mut self.schema),
            "connections" => self.connections = number(name, value)?,
            "timeout_seconds" => self.timeout = Duration::from_secs(number(name, value)?.into()),
            "poll_ms" => self.poll = Duration::from_millis(number(name, value)?.into()),
            "sslmode" | "sslrootcert" | "sslcert" | "sslkey" | "host" | "port" | "dbname"
            | "user" | "password" => {
                return Ok(false);
            }
            _ => {
                return Err(refused(format!(
                    "{name} is no setting: use schema, connections, timeout_seconds, poll_ms, sslmode, sslrootcert, \
                     sslcert, sslkey, host, port, dbname, user or password"
                )));
            }
        }
        Ok(true)
    }

    /// The schema's name, if it is one that needs no quotes.
    pub(crate) fn checked_schema(&self) -> Result<&str, PostgresError> {
        let name = self.schema.as_str();
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let is_name =
            name.bytes().all(plain) && name.starts_with(|first: char| !first.is_ascii_digit());
        // PostgreSQL keeps names that begin with pg_ for itself.
        if !is_name || name.len() > SCHEMA_BYTES_MAX || name.starts_with("pg_") {
            return Err(refused(format!(
                "schema={name}: give at most {SCHEMA_BYTES_MAX} of a-z, 0-9 and _, beginning with a letter, not with pg_"
            )));
        }
        Ok(name)
    }

    /// How each connection is made. Whatever is asked has an index. A server that takes tables for small, since they were
    /// or since nobody has counted them yet, would read all of one instead, or compile what takes a millisecond.
    pub(crate) fn session(&self) -> PgConnectOptions {
        let server = self.server.clone().disable_statement_logging();
        // Each statement of an append must see what was committed before it; `serializable` would not let it.
        server.application_name("griot").options([
            ("search_path", self.schema.as_str()),
            ("default_transaction_isolation", "read committed"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
        ])
    }

    /// How the connection that appends is made. Its one statement is planned once.
    pub(crate) fn appending_session(&self) -> PgConnectOptions {
        let planned_once = ("plan_cache_mode", "force_generic_plan");
        self.session().options([planned_once])
    }
}

impl FromStr for PostgresOptions {
    type Err = PostgresError;

    fn from_str(url: &str) -> Result<Self, PostgresError> {
        let mut url = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refused("use postgres://".to_owned()));
        }
        let mut options = Self::new(PgConnectOptions::new_without_pgpass());
        let mut of_server = Vec::new();
        for (name, value) in url.query_pairs() {
            if !options.set(&name, &value)? {
                of_server.push((name.into_owned(), value.into_owned()));
            }
        }
        url.query_pairs_mut().clear().extend_pairs(of_server);
        options.server =
            PgConnectOptions::from_url(&url).map_err(|error| refused(error.to_string()))?;
        options.checked_schema()?;
        Ok(options)
    }
}

fn number(name: &str, value: &str) -> Result<u32, PostgresError> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| {
        refused(format!(
            "{name}={value}: give a whole number from 1, and not too large"
        ))
    })
}

fn refused(reason: String) -> PostgresError {
    PostgresError::Url { reason }
}

/// Without what is secret.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("PostgresOptions");
        shown.field("host", &self.server.get_host());
        shown.field("port", &self.server.get_port());
        shown.field("database", &self.server.get_database());
        shown.field("schema", &self.schema);
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgSslMode;

    use super::*;

    #[test]
    fn a_url_says_where_who_and_how() {
        let url = "postgresql://an%3an:s%40cret@h:7/shop?sslmode=verify-ca&schema=s_1&timeout_seconds=3&poll_ms=9&connections=2";
        let options: PostgresOptions = url.parse().unwrap();
        let server = &options.server;
        assert_eq!((server.get_host(), server.get_port()), ("h", 7));
        assert_eq!(
            (server.get_username(), server.get_database()),
            ("an:n", Some("shop"))
        );
        assert!(matches!(server.get_ssl_mode(), PgSslMode::VerifyCa));
        assert_eq!((options.schema.as_str(), options.connections), ("s_1", 2));
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
            ("mysql://h", "postgres://"),
            ("h", "relative URL"),
            ("postgres://h?speed=9", "poll_ms"),
            ("postgres://h?connections=0", "from 1"),
            ("postgres://h?schema=", "a-z"),
            ("postgres://h?schema=1a", "letter"),
            ("postgres://h?schema=pg_x", "pg_"),
            ("postgres://h?schema=a%22b", "a-z"),
            ("postgres://h?sslmode=perhaps", "perhaps"),
        ] {
            let error = url.parse::<PostgresOptions>().unwrap_err().to_string();
            assert!(error.contains(said), "{url}: {error}");
        }
    }
}
