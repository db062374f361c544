//! Servers to test against.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use griot_nats::NatsBroker;
use griot_testkit::probe::{DEADLINE, until};
use griot_testkit::{free_address, setting};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The URL of a running server; without one, says what is left out.
pub(crate) fn running() -> Option<String> {
    let what = "tests on a running NATS server: set GRIOT_TEST_NATS to its URL";
    setting("GRIOT_TEST_NATS", what)
}

/// The program to start servers of one's own with; without one, says what is left out.
pub(crate) fn program() -> Option<PathBuf> {
    let what = "tests that stop and kill NATS servers: set GRIOT_TEST_NATS_SERVER to the path of nats-server";
    setting("GRIOT_TEST_NATS_SERVER", what).map(PathBuf::from)
}

pub(crate) async fn connect(url: &str) -> NatsBroker {
    NatsBroker::connect(url).await.unwrap()
}

/// A server of one's own, on a free port, with data in a directory that is thrown away.
pub(crate) struct Server {
    program: PathBuf,
    data: TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// Starts one with JetStream, and more configuration.
    pub(crate) async fn start(program: &Path, more: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let jetstream = format!(
            "jetstream {{ store_dir: \"{}\", sync_interval: always }}\n{more}",
            data.path().join("jetstream").display()
        );
        Self::start_with(program, data, &jetstream).await
    }

    /// Starts one without JetStream.
    pub(crate) async fn start_bare(program: &Path) -> Self {
        Self::start_with(program, tempfile::tempdir().unwrap(), "").await
    }

    async fn start_with(program: &Path, data: TempDir, configuration: &str) -> Self {
        let address = free_address();
        let configuration = format!("listen: \"{address}\"\n{configuration}");
        std::fs::write(data.path().join("nats.conf"), configuration).unwrap();
        let mut server = Self {
            program: program.to_owned(),
            data,
            address,
            child: None,
        };
        server.go_on().await;
        server
    }

    /// Starts it again: same port, same data.
    pub(crate) async fn go_on(&mut self) {
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(self.data.path().join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        until("the server listens", || async {
            TcpStream::connect(self.address).await.is_ok()
        })
        .await;
    }

    /// Asks it to stop, and waits.
    pub(crate) async fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = child.id().unwrap().to_string();
        let asked = Command::new("kill").arg(pid).status().await.unwrap();
        assert!(asked.success());
        timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().await.unwrap();
    }

    pub(crate) fn url(&self) -> String {
        self.url_as("")
    }

    /// With `USER:PASSWORD@` or `TOKEN@`.
    pub(crate) fn url_as(&self, login: &str) -> String {
        format!("nats://{login}{}", self.address)
    }
}
