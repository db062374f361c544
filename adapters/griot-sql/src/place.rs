//! Where a read model is: a file, or a schema or database of a server.

use std::fmt::{self, Write as _};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use griot_core::stable_hash;
use griot_projection::ProjectionError;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection as _};
use tokio::time::timeout;
use url::Url;

use crate::Dialect;

type Answer<T> = Result<T, ProjectionError>;

/// Connections to a place, where its URL does not say how many.
const CONNECTIONS_DEFAULT: u32 = 8;

/// How long a connection is waited for.
pub(crate) const ACQUIRE_MAX: Duration = Duration::from_secs(30);

/// How long a connection may take to say that it lives.
const PING_MAX: Duration = Duration::from_secs(5);

/// How long a statement may take, where the URL does not say.
const STATEMENT_DEFAULT: Duration = Duration::from_mins(1);

/// How long a lock on a table is waited for where statements are not bounded: MariaDB's default.
const TABLE_LOCK_SECONDS: u64 = 86_400;

/// The longest name of a schema, which PostgreSQL sets; a database of MySQL may have one byte more.
const NAME_BYTES_MAX: usize = 63;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) connections: u32,
    /// How long a server may take for a statement, or wait for one in a transaction; zero where nothing bounds it.
    pub(crate) statement: Duration,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite { path: PathBuf },
    Postgres { url: Url, schema: Option<String> },
    Mysql { url: Url, database: String },
}

impl Place {
    /// What a URL, or a plain path, says.
    pub(crate) fn parse(text: &str) -> Answer<Self> {
        let refuse = |what, reason| Err(ProjectionError::Refused { what, reason });
        let file = match text.split_once(':') {
            Some(("sqlite", path)) => Some(path.strip_prefix("//").unwrap_or(path)),
            Some(_) if text.contains("://") => None,
            _ => Some(text),
        };
        if let Some(path) = file {
            if path.is_empty() || path == ":memory:" || path.contains('?') {
                return refuse(
                    "a read model in such a file",
                    "name a path without settings: sqlite://PATH",
                );
            }
            let path = std::path::absolute(path).map_err(ProjectionError::target)?;
            return Self::of(Kind::Sqlite { path }, CONNECTIONS_DEFAULT, Duration::ZERO);
        }
        let mut url = Url::parse(text).map_err(ProjectionError::target)?;
        let (mut schema, mut others) = (None, Vec::new());
        let (mut connections, mut statement) = (CONNECTIONS_DEFAULT, STATEMENT_DEFAULT);
        for (name, value) in url.query_pairs() {
            match &*name {
                "schema" => schema = Some(value.into_owned()),
                "connections" => {
                    connections = value.parse().map_err(ProjectionError::target)?;
                }
                "statement_seconds" => {
                    let seconds = value.parse::<u32>().map_err(ProjectionError::target)?;
                    statement = Duration::from_secs(seconds.into());
                }
                _ => others.push((name.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
        match url.scheme() {
            "postgres" | "postgresql" => {
                Self::of(Kind::Postgres { url, schema }, connections, statement)
            }
            "mysql" | "mariadb" => {
                let database = url.path().trim_start_matches('/').to_owned();
                if database.is_empty() || schema.is_some() {
                    return refuse(
                        "a read model in no database",
                        "name one, and no schema: mysql://HOST/DATABASE",
                    );
                }
                Self::of(Kind::Mysql { url, database }, connections, statement)
            }
            _ => refuse(
                "a read model at such a URL",
                "use a path, sqlite://PATH, postgres://, mysql:// or mariadb://",
            ),
        }
    }

    fn of(kind: Kind, connections: u32, statement: Duration) -> Answer<Self> {
        let place = Self {
            kind,
            connections,
            statement,
        };
        let is_built = match place.dialect() {
            Dialect::Sqlite => cfg!(feature = "sqlite"),
            Dialect::Postgres => cfg!(feature = "postgres"),
            Dialect::Mysql => cfg!(feature = "mysql"),
        };
        if !is_built || connections == 0 {
            return Err(ProjectionError::Refused {
                what: "a read model there",
                reason: "build griot-sql with its feature `sqlite`, `postgres` or `mysql`, and leave at \
                         least one connection",
            });
        }
        Ok(place)
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.kind {
            Kind::Sqlite { .. } => Dialect::Sqlite,
            Kind::Postgres { .. } => Dialect::Postgres,
            Kind::Mysql { .. } => Dialect::Mysql,
        }
    }

    pub(crate) fn options(&self) -> Answer<AnyConnectOptions> {
        use sqlx::ConnectOptions as _;
        let url = match &self.kind {
            Kind::Sqlite { path } => file_url(path)?,
            Kind::Postgres { url, .. } | Kind::Mysql { url, .. } => url.clone(),
        };
        let options = AnyConnectOptions::from_url(&url).map_err(ProjectionError::target)?;
        Ok(options.disable_statement_logging())
    }

    /// What each connection begins with.
    fn setup(&self) -> Vec<String> {
        match &self.kind {
            Kind::Sqlite { .. } => vec![
                "PRAGMA busy_timeout = 30000".to_owned(),
                "PRAGMA journal_mode = WAL".to_owned(),
                "PRAGMA synchronous = NORMAL".to_owned(),
                "PRAGMA foreign_keys = ON".to_owned(),
            ],
            Kind::Postgres { schema, .. } => {
                let path = |schema: &String| {
                    format!("SET search_path TO {}", Dialect::Postgres.quoted(schema))
                };
                schema.iter().map(path).collect()
            }
            // Without locks on gaps, so that slices do not wait for each other.
            Kind::Mysql { .. } => {
                vec!["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned()]
            }
        }
    }

    /// Fails at once where nobody listens, for which a pool of connections would wait.
    pub(crate) async fn reach(&self) -> Answer<()> {
        sqlx::any::install_default_drivers();
        let options = self.options()?;
        let reaching = async { AnyConnection::connect_with(&options).await?.close().await };
        let reached = timeout(ACQUIRE_MAX, reaching).await;
        reached
            .unwrap_or_else(|_| Err(late("the server does not answer")))
            .map_err(ProjectionError::target)
    }

    /// Connections, each of which begins with the `more` as well.
    pub(crate) async fn connect(&self, connections: u32, more: Vec<String>) -> Answer<AnyPool> {
        sqlx::any::install_default_drivers();
        let bounds = bounds(self.dialect(), self.statement);
        let setup: Vec<String> = [self.setup(), bounds, more].concat();
        let pool = AnyPoolOptions::new().max_connections(connections);
        let pool = pool.acquire_timeout(ACQUIRE_MAX);
        // By the two that follow, which do not wait for ever on a connection that swallows everything.
        let pool = pool.test_before_acquire(false);
        let pool = pool.after_release(|connection, _| {
            Box::pin(async move { ping(connection).await.map(|()| true) })
        });
        // SQLite ends a transaction by itself where the disk is full, and sqlx goes on to believe in it.
        let pool = pool.before_acquire(|connection, _| {
            let is_free = !connection.is_in_transaction();
            Box::pin(async move { ping(connection).await.map(|()| is_free) })
        });
        let pool = pool.after_connect(move |connection, _| {
            let setup = setup.clone();
            Box::pin(async move {
                for statement in setup {
                    // Every name in it is quoted.
                    let setting = sqlx::raw_sql(AssertSqlSafe(statement));
                    setting.execute(&mut *connection).await?;
                }
                Ok(())
            })
        });
        let connecting = pool.connect_with(self.options()?).await;
        connecting.map_err(ProjectionError::target)
    }

    /// The place beside it for a projection; `own` is the schema that this one is in.
    pub(crate) fn beside(&self, projection: &str, own: &str) -> Self {
        let kind = match &self.kind {
            Kind::Sqlite { path } => Kind::Sqlite {
                path: path_beside(path, projection),
            },
            Kind::Postgres { url, .. } => Kind::Postgres {
                url: url.clone(),
                schema: Some(name_beside(own, projection)),
            },
            Kind::Mysql { url, .. } => {
                let (mut url, database) = (url.clone(), name_beside(own, projection));
                url.set_path(&format!("/{database}"));
                Kind::Mysql { url, database }
            }
        };
        Self {
            kind,
            connections: self.connections,
            statement: self.statement,
        }
    }
}

/// What bounds the statements of a connection, and how long the server waits for the next in a transaction; zero bounds
/// nothing. MySQL, which has not got MariaDB's settings, bounds `SELECT` alone.
pub(crate) fn bounds(dialect: Dialect, statement: Duration) -> Vec<String> {
    let seconds = statement.as_secs();
    match dialect {
        Dialect::Sqlite => Vec::new(),
        Dialect::Postgres => vec![
            format!("SET statement_timeout = '{seconds}s'"),
            format!("SET idle_in_transaction_session_timeout = '{seconds}s'"),
        ],
        Dialect::Mysql => {
            let table_lock = if seconds == 0 {
                TABLE_LOCK_SECONDS
            } else {
                seconds
            };
            vec![format!(
                "SET SESSION lock_wait_timeout = {table_lock} \
                 /*M!100301 , SESSION max_statement_time = {seconds}, SESSION idle_transaction_timeout = {seconds} */ \
                 /*!80000 , SESSION max_execution_time = {seconds}000 */"
            )]
        }
    }
}

/// Whether the connection lives; it rolls back first what was left.
async fn ping(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let pinged = timeout(PING_MAX, connection.ping()).await;
    pinged.unwrap_or_else(|_| Err(late("a connection does not answer")))
}

/// What was waited for in vain.
pub(crate) fn late(what: &'static str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(ErrorKind::TimedOut, what))
}

/// As sqlx takes it, whatever is in the path; the file is made where there is none.
fn file_url(path: &Path) -> Answer<Url> {
    let file = Url::from_file_path(path).map_err(|()| ProjectionError::Refused {
        what: "a read model in such a file",
        reason: "name a path from the root",
    })?;
    let url = format!("sqlite://{}?mode=rwc", file.path());
    Url::parse(&url).map_err(ProjectionError::target)
}

/// Beside the file, named for the projection.
fn path_beside(path: &Path, projection: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    let mut suffix = ".rebuild-".to_owned();
    for letter in projection.chars() {
        if letter.is_ascii_alphanumeric() || "-_.".contains(letter) {
            suffix.push(letter);
        } else {
            // Writing to a string does not fail.
            let _ = write!(suffix, "%{:x}", u32::from(letter));
        }
    }
    name.push(suffix);
    name.into()
}

/// A name for the projection that every server takes, and its hash where something was lost on the way.
fn name_beside(own: &str, projection: &str) -> String {
    let whole = format!("{own}_rebuild_{projection}");
    let is_plain = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
    if whole.len() <= NAME_BYTES_MAX && projection.chars().all(is_plain) && own.is_ascii() {
        return whole;
    }
    let plain = |letter: char| if is_plain(letter) { letter } else { '_' };
    let hash = format!("_{:016x}", stable_hash(whole.as_bytes()));
    let kept = NAME_BYTES_MAX - hash.len();
    let name: String = whole.chars().map(plain).take(kept).collect();
    name + &hash
}

/// Without the password.
impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Sqlite { path } => write!(formatter, "{}", path.display()),
            Kind::Postgres { url, schema } => {
                let host = url.host_str().unwrap_or_default();
                write!(formatter, "postgres://{host}{}", url.path())?;
                schema
                    .iter()
                    .try_for_each(|schema| write!(formatter, "?schema={schema}"))
            }
            Kind::Mysql { url, database } => {
                let host = url.host_str().unwrap_or_default();
                write!(formatter, "mysql://{host}/{database}")
            }
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sqlite { .. } => "Sqlite",
            Self::Postgres { .. } => "Postgres",
            Self::Mysql { .. } => "Mysql",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_file_with_or_without_a_scheme() {
        let file = |text: &str| match Place::parse(text).unwrap().kind {
            Kind::Sqlite { path } => path,
            other => panic!("{other:?}"),
        };
        for text in ["/data/a b.sqlite", "sqlite:///data/a b.sqlite"] {
            assert_eq!(file(text), Path::new("/data/a b.sqlite"));
        }
        assert!(file("read-model.sqlite").is_absolute());
        for text in [
            "",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://a?mode=ro",
            "redis://a/b",
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_beside_is_one_that_every_server_takes_and_its_own() {
        assert_eq!(name_beside("public", "items"), "public_rebuild_items");
        let long = "x".repeat(200);
        let odd = [
            "items",
            "Items",
            "ITEMS",
            "it`e\"ms",
            "ämter",
            "æmter",
            &long,
            &(long.clone() + "y"),
        ];
        let names = odd.map(|projection| name_beside("public", projection));
        for name in &names {
            assert!(name.len() <= NAME_BYTES_MAX, "{name}");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}"
            );
        }
        let mut unique = names.to_vec();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "{names:?}");
    }

    #[cfg(all(feature = "postgres", feature = "mysql"))]
    #[test]
    fn a_url_says_schema_and_connections_and_the_rest_is_the_servers() {
        let place = Place::parse(
            "postgres://a:b@c/d?schema=e&sslmode=require&connections=3&statement_seconds=7",
        )
        .unwrap();
        let Kind::Postgres { url, schema } = &place.kind else {
            panic!("{place:?}");
        };
        assert_eq!(url.as_str(), "postgres://a:b@c/d?sslmode=require");
        assert_eq!((schema.as_deref(), place.connections), (Some("e"), 3));
        assert_eq!(place.statement, Duration::from_secs(7));
        assert!(!format!("{place:?}").contains('b'), "{place:?}");
        assert!(Place::parse("mysql://a@b").is_err());
        let place = Place::parse("mariadb://a@b/c").unwrap();
        assert!(format!("{:?}", place.beside("x", "c")).ends_with("/c_rebuild_x"));
    }
}
