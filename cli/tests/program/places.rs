//! Where a service keeps its journal and its read model: every pair of places, and the servers among them that die.

use std::path::Path;

use tempfile::TempDir;

use crate::rows::Tables;
use crate::server::Server;

/// The servers of journals.
const JOURNALS: [&str; 3] = ["postgres", "mysql", "cassandra"];

/// The servers of read models.
const READ_MODELS: [&str; 2] = ["postgres", "mysql"];

/// A journal and a read model that nobody else has.
pub(crate) struct Places {
    directory: TempDir,
    journal: Option<Server>,
    /// On the journal's server it has the journal's schema, too.
    read_model: Option<Server>,
}

impl Places {
    /// Both in the data directory.
    pub(crate) fn embedded() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            journal: None,
            read_model: None,
        }
    }

    /// Every pair of the places that there are, save both in the data directory. Says which servers are left out.
    pub(crate) fn pairs() -> Vec<Self> {
        let there = |servers: &[&'static str]| -> Vec<Option<&'static str>> {
            let there = servers
                .iter()
                .filter(|name| Server::database(name).is_some());
            [None].into_iter().chain(there.copied().map(Some)).collect()
        };
        let (journals, lists) = (there(&JOURNALS), there(&READ_MODELS));
        let pairs = journals
            .into_iter()
            .flat_map(|journal| lists.iter().map(move |&list| (journal, list)));
        let pair = |(journal, list): (Option<&'static str>, Option<&'static str>)| {
            let server = journal.and_then(Server::database);
            Self {
                directory: TempDir::new().unwrap(),
                read_model: match &server {
                    Some(server) if journal == list => Some(server.clone()),
                    _ => list.and_then(Server::database),
                },
                journal: server,
            }
        };
        pairs.skip(1).map(pair).collect()
    }

    /// Makes the database of the read model, where nobody else does.
    pub(crate) async fn make(&self) {
        for server in self
            .read_model
            .iter()
            .filter(|server| server.name() == "mysql")
        {
            Tables::make_database(&server.url).await;
        }
    }

    /// The data directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What says so to `griot serve`, beside the data directory.
    pub(crate) fn flags(&self) -> Vec<&str> {
        let journal = self
            .journal
            .iter()
            .flat_map(|server| ["--journal", &server.url]);
        let read_model = self
            .read_model
            .iter()
            .flat_map(|server| ["--read-model", &server.url]);
        journal.chain(read_model).collect()
    }

    /// The tables of the read model.
    pub(crate) fn tables(&self) -> Tables {
        match &self.read_model {
            None => Tables::in_directory(self.directory()),
            Some(server) => Tables::at(&server.url),
        }
    }

    /// The server that dies at one in two of the kills of the service: the journal's and the read model's in turn, where
    /// they are two. A slow one dies at one in eight.
    pub(crate) fn dying(&self, kill: u32) -> Option<&Server> {
        let servers: Vec<_> = self.journal.iter().chain(&self.read_model).collect();
        let turn = usize::try_from(kill / 2).unwrap();
        let dying = servers.get(turn.checked_rem(servers.len())?).copied();
        dying.filter(|server| kill % 2 == 1 && (!server.is_slow() || turn.is_multiple_of(4)))
    }

    /// As a line says it.
    pub(crate) fn names(&self) -> String {
        let name =
            |server: &Option<Server>, embedded| server.as_ref().map_or(embedded, Server::name);
        let (journal, list) = (
            name(&self.journal, "embedded"),
            name(&self.read_model, "SQLite"),
        );
        format!("journal: {journal}, read model: {list}")
    }
}
