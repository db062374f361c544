//! The server of a broker or a journal, which dies and comes back.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use crate::process::DEADLINE;

/// How old a quorum queue has to be to outlive kill -9.
const QUEUES_GROW_UP: Duration = Duration::from_secs(3);

/// Started by `scripts/services`, which kills it and starts it again: same port, same data.
#[derive(Clone)]
pub(crate) struct Server {
    name: &'static str,
    services: PathBuf,
    /// Its URL.
    pub(crate) url: String,
}

impl Server {
    /// The running server of that name, whose URL gets these `settings`; where it may not be killed, or
    /// there is none, says what is left out.
    pub(crate) fn named(name: &'static str, settings: &str) -> Option<Self> {
        let variable = format!("GRIOT_TEST_{}", name.to_uppercase());
        let services = std::env::var_os("GRIOT_TEST_SERVICES").map(PathBuf::from);
        let found = services.zip(std::env::var(&variable).ok());
        if found.is_none() {
            // Not `eprintln!`: what that prints is kept from sight when the test passes.
            let text = format!(
                "LEFT OUT what happens while {name} is killed: set GRIOT_TEST_SERVICES to the path of scripts/services, \
                 and {variable} to the URL of the server it runs\n"
            );
            std::io::stderr().write_all(text.as_bytes()).unwrap();
        }
        let (services, url) = found?;
        Some(Self {
            name,
            services,
            url: format!("{url}?{settings}"),
        })
    }

    /// Room for a journal and for read models that nobody else has, on the running `postgres` or `mysql`, or for a
    /// journal on `cassandra`.
    pub(crate) fn database(name: &'static str) -> Option<Self> {
        let own = format!("test_{:016x}", fastrand::u64(..));
        let setting = if name == "cassandra" {
            "journal"
        } else {
            "schema"
        };
        let mut server = Self::named(name, &format!("{setting}={own}"))?;
        if name == "mysql" {
            // Made where it is missing.
            let (address, _) = server.url.rsplit_once('/').unwrap();
            server.url = format!("{address}/{own}");
        }
        Some(server)
    }

    /// As `scripts/services` calls it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it takes half a minute to be up again.
    pub(crate) fn is_slow(&self) -> bool {
        self.name == "cassandra"
    }

    /// Waits until what was just made there outlives kill -9, which a quorum queue of RabbitMQ 3.10
    /// does not at once: it is confirmed before all of it is on disk.
    pub(crate) async fn grow_up(&self) {
        if self.name == "rabbitmq" {
            let _ = tokio::time::timeout(QUEUES_GROW_UP, std::future::pending::<()>()).await;
        }
    }

    /// kill -9.
    pub(crate) async fn kill(&self) {
        self.say("kill").await;
    }

    /// Starts it again, and waits until it answers.
    pub(crate) async fn up(&self) {
        self.say("up").await;
    }

    async fn say(&self, command: &str) {
        let run = Command::new(&self.services)
            .args([command, self.name])
            .output();
        let done = tokio::time::timeout(DEADLINE, run).await;
        let done = done.expect("services takes too long").unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{command} {}: {said}", self.name);
    }
}
