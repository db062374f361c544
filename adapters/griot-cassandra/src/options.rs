//! What can be set, and how a URL says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::CassandraError;

/// The port that Cassandra listens on unless told otherwise.
const PORT: u16 = 9042;

/// The longest name of a keyspace, and of a journal.
const NAME_MAX: usize = 48;

/// How to reach the cluster, and what is asked of it.
///
/// ```
/// use griot_cassandra::CassandraOptions;
///
/// let url = "cassandra://ann:secret@one.example,two.example:9043/shop?consistency=local_quorum&datacenter=north";
/// let options: CassandraOptions = url.parse()?;
/// assert_eq!(options.nodes, ["one.example:9042", "two.example:9043"]);
/// assert_eq!((&*options.keyspace, options.datacenter.as_deref()), ("shop", Some("north")));
/// # Ok::<(), griot_cassandra::CassandraError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct CassandraOptions {
    /// Nodes to begin with, `HOST:PORT`; they tell of the others.
    pub nodes: Vec<String>,
    /// Who we are, and the password.
    pub user: Option<(String, String)>,
    /// Where the tables are, and that is made where it is missing.
    pub keyspace: String,
    /// Which journal in the keyspace: `?journal=main`.
    pub journal: String,
    /// On how many nodes data lies, where the keyspace is made: `?replication=3`, or `?replication=north:3,south:3`.
    pub replication: Option<Replication>,
    /// Who must agree: `?consistency=quorum` or `local_quorum`.
    pub agreement: Agreement,
    /// Whose nodes are asked: `?datacenter=NAME`.
    pub datacenter: Option<String>,
    /// How many connections there are to each node: `?connections=2`.
    pub connections: usize,
    /// How long an answer is waited for: `?timeout_seconds=30`.
    pub timeout: Duration,
    /// How often the cluster is asked whether another process has appended, while somebody waits for that: `?poll_ms=50`.
    pub poll: Duration,
}

/// On how many nodes data lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replication {
    /// So many of one data centre.
    Simple(u32),
    /// So many of each of these.
    Datacenters(Vec<(String, u32)>),
}

/// Whose majority must agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Agreement {
    /// That of all replicas.
    #[default]
    Quorum,
    /// That of the data centre: every process must write in the same one.
    LocalQuorum,
}

impl CassandraOptions {
    /// This keyspace by way of these nodes, and everything else as it is unless said otherwise.
    pub fn new(nodes: Vec<String>, keyspace: impl Into<String>) -> Self {
        Self {
            nodes,
            user: None,
            keyspace: keyspace.into(),
            journal: "main".to_owned(),
            replication: None,
            agreement: Agreement::default(),
            datacenter: None,
            connections: 2,
            timeout: Duration::from_secs(30),
            poll: Duration::from_millis(50),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), CassandraError> {
        match name {
            "journal" => self.journal = self::name("the journal", value)?,
            "replication" => self.replication = Some(replication(value)?),
            "consistency" => self.agreement = agreement(value)?,
            "datacenter" => self.datacenter = Some(value.to_owned()),
            "connections" => self.connections = usize::from(number::<u16>(name, value)?),
            "timeout_seconds" => {
                self.timeout = Duration::from_secs(number::<u32>(name, value)?.into());
            }
            "poll_ms" => self.poll = Duration::from_millis(number::<u32>(name, value)?.into()),
            _ => {
                return Err(refused(format!(
                    "{name} is no setting: use journal, replication, consistency, datacenter, connections, timeout_seconds or poll_ms"
                )));
            }
        }
        Ok(())
    }
}

impl CassandraOptions {
    /// Statements would go to every data centre, and those of one do not hear of what another decides.
    pub(crate) fn check(&self) -> Result<(), CassandraError> {
        if self.agreement == Agreement::LocalQuorum && self.datacenter.is_none() {
            return Err(refused(
                "consistency=local_quorum: add datacenter=NAME, the same one for every process"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

impl FromStr for CassandraOptions {
    type Err = CassandraError;

    fn from_str(url: &str) -> Result<Self, CassandraError> {
        let Some(rest) = url.strip_prefix("cassandra://") else {
            return Err(refused("use cassandra://HOST/KEYSPACE".to_owned()));
        };
        let (before, _) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
        let (login, hosts) = before.rsplit_once('@').unwrap_or(("", before));
        // A URL has one host, and here are several: the first one stands for them.
        let (first, _) = hosts.split_once(',').unwrap_or((hosts, ""));
        let one = url.replacen(hosts, first, 1);
        let one = Url::parse(&one).map_err(|error| refused(error.to_string()))?;
        let nodes: Result<_, _> = hosts.split(',').map(node).collect();
        let keyspace = name("the keyspace", one.path().trim_start_matches('/'))?;
        let mut options = Self::new(nodes?, keyspace);
        if !login.is_empty() {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            options.user = Some((decoded(user)?, decoded(password)?));
        }
        for (name, value) in one.query_pairs() {
            options.set(&name, &value)?;
        }
        options.check()?;
        Ok(options)
    }
}

/// `HOST`, `HOST:PORT` or either with an address of IPv6 in brackets.
fn node(text: &str) -> Result<String, CassandraError> {
    let url = Url::parse(&format!("cassandra://{text}/"));
    let url = url.map_err(|error| refused(format!("{text}: {error}")))?;
    match url.host_str().filter(|host| !host.is_empty()) {
        Some(host) => Ok(format!("{host}:{}", url.port().unwrap_or(PORT))),
        None => Err(refused("name a node: cassandra://HOST/KEYSPACE".to_owned())),
    }
}

fn name(what: &str, value: &str) -> Result<String, CassandraError> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if value.is_empty() || value.len() > NAME_MAX || !value.chars().all(is_plain) {
        return Err(refused(format!(
            "name {what} with letters, digits and _, {NAME_MAX} at most: cassandra://HOST/KEYSPACE?journal=NAME"
        )));
    }
    Ok(value.to_owned())
}

fn replication(value: &str) -> Result<Replication, CassandraError> {
    if !value.contains(':') {
        return Ok(Replication::Simple(number("replication", value)?));
    }
    let datacenters = value.split(',').map(|part| {
        let (datacenter, count) = part.split_once(':').unwrap_or((part, ""));
        if datacenter.contains(['\'', '\\']) {
            return Err(refused(format!("{datacenter} is no data centre")));
        }
        Ok((datacenter.to_owned(), number("replication", count)?))
    });
    Ok(Replication::Datacenters(
        datacenters.collect::<Result<_, _>>()?,
    ))
}

fn agreement(value: &str) -> Result<Agreement, CassandraError> {
    match value {
        "quorum" => Ok(Agreement::Quorum),
        "local_quorum" => Ok(Agreement::LocalQuorum),
        _ => Err(refused(format!(
            "consistency={value}: use quorum or local_quorum; less would forget what was acknowledged"
        ))),
    }
}

fn decoded(text: &str) -> Result<String, CassandraError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| refused("the user or password is no UTF-8".to_owned()))?;
    Ok(decoded.into_owned())
}

fn number<N: FromStr + Default + PartialOrd>(name: &str, value: &str) -> Result<N, CassandraError> {
    let number = value.parse().ok().filter(|number| *number > N::default());
    number.ok_or_else(|| {
        refused(format!(
            "{name}={value}: give a whole number from 1, and not too large"
        ))
    })
}

fn refused(reason: String) -> CassandraError {
    CassandraError::Url { reason }
}

/// Without what is secret.
impl fmt::Debug for CassandraOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("CassandraOptions");
        shown.field("nodes", &self.nodes);
        shown.field("keyspace", &self.keyspace);
        shown.field("journal", &self.journal);
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_who_and_how() {
        let url = "cassandra://an%3an:s%40cret@h,[::1]:7/shop?journal=j2&replication=north:3,south:1&consistency=local_quorum\
            &datacenter=north&connections=4&timeout_seconds=3&poll_ms=9";
        let options: CassandraOptions = url.parse().unwrap();
        assert_eq!(options.nodes, ["h:9042", "[::1]:7"]);
        assert_eq!(options.user, Some(("an:n".to_owned(), "s@cret".to_owned())));
        assert_eq!((&*options.keyspace, &*options.journal), ("shop", "j2"));
        let replication = [("north".to_owned(), 3), ("south".to_owned(), 1)];
        assert_eq!(
            options.replication,
            Some(Replication::Datacenters(replication.to_vec()))
        );
        assert_eq!(options.agreement, Agreement::LocalQuorum);
        assert_eq!(
            (options.connections, options.timeout, options.poll),
            (4, Duration::from_secs(3), Duration::from_millis(9))
        );
        let shown = format!("{options:?}");
        assert!(shown.contains("shop") && !shown.contains("cret"), "{shown}");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, said) in [
            ("mysql://h/d", "cassandra://"),
            ("cassandra://h", "name the keyspace"),
            ("cassandra:///d", "HOST"),
            ("cassandra://h/it's", "letters"),
            ("cassandra://h/d?speed=9", "poll_ms"),
            ("cassandra://h/d?connections=0", "from 1"),
            ("cassandra://h/d?consistency=one", "local_quorum"),
            ("cassandra://h/d?consistency=local_quorum", "datacenter"),
            ("cassandra://h/d?replication=north:", "from 1"),
            ("cassandra://h:x/d", "port"),
        ] {
            let error = url.parse::<CassandraOptions>().unwrap_err().to_string();
            assert!(error.contains(said), "{url}: {error}");
        }
    }
}
