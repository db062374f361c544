//! The keyspace and its tables: made where they are missing.

use std::path::PathBuf;
use std::sync::Arc;

use griot_journal::JournalError;
use scylla::client::session::Session;
use scylla::cluster::metadata::Strategy;
use scylla::errors::ExecutionError;

use crate::link::rows;
use crate::options::{Agreement, Replication};
use crate::{CassandraError, CassandraOptions};

/// What brings the tables from one version to the next, beginning with version 1. Each can be repeated.
const VERSIONS: [&str; 2] = [include_str!("../cql/1.cql"), include_str!("../cql/2.cql")];

/// # Errors
///
/// [`JournalError::NewerVersion`] where a newer griot was here; [`CassandraError::NotDurable`],
/// [`CassandraError::NoReplication`].
pub(crate) async fn prepare(
    session: &Session,
    options: &CassandraOptions,
) -> Result<(), JournalError> {
    make_keyspace(session, options).await?;
    check_durability(session, options).await?;
    let keyspace = &options.keyspace;
    let say = async |cql: String| session.query_unpaged(cql, ()).await.map_err(told);
    say(format!(
        "create table if not exists \"{keyspace}\".griot_schema (version int primary key, since timestamp)"
    ))
    .await?;
    let versions = say(format!("select version from \"{keyspace}\".griot_schema")).await?;
    let versions: Vec<(i32,)> = rows(versions)?;
    let version = versions.iter().map(|(version,)| *version).max();
    let version = u32::try_from(version.unwrap_or(0)).unwrap_or(0);
    let supported = u32::try_from(VERSIONS.len()).unwrap_or(u32::MAX);
    if version > supported {
        return Err(JournalError::NewerVersion {
            path: PathBuf::from(format!("the keyspace {keyspace}")),
            found: version,
            supported,
        });
    }
    let missing = VERSIONS.into_iter().zip(1_u32..);
    for (script, number) in missing.skip_while(|&(_, number)| number <= version) {
        for statement in statements(script) {
            say(statement.replace("griot_", &format!("\"{keyspace}\".griot_"))).await?;
        }
        let note = format!(
            "insert into \"{keyspace}\".griot_schema (version, since) values ({number}, toTimestamp(now()))"
        );
        say(note).await?;
        tracing::info!(
            keyspace,
            version = number,
            "the journal's tables were brought up to date"
        );
    }
    Ok(())
}

/// The statements of a script, without what is said of them.
fn statements(script: &str) -> Vec<String> {
    let lines = script
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code));
    let code: Vec<_> = lines.collect();
    let code = code.join("\n");
    let statements = code.split(';').map(str::trim);
    let statements = statements.filter(|statement| !statement.is_empty());
    statements.map(str::to_owned).collect()
}

async fn make_keyspace(session: &Session, options: &CassandraOptions) -> Result<(), JournalError> {
    let keyspace = &options.keyspace;
    let state = session.get_cluster_state();
    if state.get_keyspace(keyspace).is_some() {
        return Ok(());
    }
    let nodes = state.get_nodes_info().len();
    let replication = match &options.replication {
        Some(replication) => replication.clone(),
        None if nodes == 1 => {
            tracing::warn!(
                keyspace,
                "the keyspace is made with one copy of everything, since the cluster has one node"
            );
            Replication::Simple(1)
        }
        None => {
            let keyspace = keyspace.clone();
            return Err(CassandraError::NoReplication { keyspace, nodes }.into());
        }
    };
    let replication = match replication {
        Replication::Simple(copies) => {
            format!("'class': 'SimpleStrategy', 'replication_factor': {copies}")
        }
        Replication::Datacenters(datacenters) => {
            let datacenters = datacenters
                .iter()
                .map(|(name, copies)| format!(", '{name}': {copies}"));
            let datacenters: String = datacenters.collect();
            format!("'class': 'NetworkTopologyStrategy'{datacenters}")
        }
    };
    let make = format!(
        "create keyspace if not exists \"{keyspace}\" with replication = {{{replication}}}"
    );
    session.query_unpaged(make, ()).await.map_err(told)?;
    session.refresh_metadata().await.map_err(told)
}

/// A node that syncs its commit log now and then acknowledges what a power cut takes back, unless others have it, too.
async fn check_durability(
    session: &Session,
    options: &CassandraOptions,
) -> Result<(), JournalError> {
    let settings = "select value from system_views.settings where name = 'commitlog_sync'";
    let settings = match session.query_unpaged(settings, ()).await {
        Ok(settings) => rows::<(Option<String>,)>(settings)?,
        // A cluster may hide what it is set to.
        Err(error) => {
            tracing::warn!(%error, "cannot see whether the cluster syncs what it acknowledges");
            return Ok(());
        }
    };
    let periodic = Some("periodic".to_owned());
    if !settings.contains(&(periodic,)) {
        return Ok(());
    }
    let state = session.get_cluster_state();
    let keyspace = &options.keyspace;
    let copies = match state.get_keyspace(keyspace).map(|found| &found.strategy) {
        Some(Strategy::SimpleStrategy { replication_factor }) => *replication_factor,
        Some(Strategy::NetworkTopologyStrategy {
            datacenter_repfactors,
        }) => match (options.agreement, &options.datacenter) {
            (Agreement::LocalQuorum, Some(own)) => {
                datacenter_repfactors.get(own).copied().unwrap_or(0)
            }
            _ => datacenter_repfactors.values().sum(),
        },
        _ => 1,
    };
    if copies < 2 {
        let keyspace = keyspace.clone();
        return Err(CassandraError::NotDurable { keyspace }.into());
    }
    tracing::warn!(
        keyspace,
        "commitlog_sync is periodic: a power cut of a majority of replicas at once takes back what was acknowledged"
    );
    Ok(())
}

fn told(error: impl Into<ExecutionError>) -> JournalError {
    CassandraError::Cluster(Arc::new(error.into())).into()
}
