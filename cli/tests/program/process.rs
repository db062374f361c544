//! A `griot` process: started, found by the line it prints, signalled, and gone when dropped.

use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{Mutex, MutexGuard, oneshot};

/// How long anything that must happen may take on a busy machine before the test calls it missing.
pub(crate) const DEADLINE: Duration = Duration::from_mins(3);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Held by a test that needs the machine for itself.
pub(crate) async fn whole_machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::const_new(());
    MACHINE.lock().await
}

/// How many kills a loop makes that makes so many where `GRIOT_KILLS` is 100, its default.
pub(crate) fn kills(of_a_hundred: u32) -> u32 {
    let hundred = std::env::var("GRIOT_KILLS");
    let hundred: u32 = hundred.map_or(100, |kills| kills.parse().expect("GRIOT_KILLS is a number"));
    (of_a_hundred * hundred).div_ceil(100)
}

/// Waits until `condition` gives something.
///
/// # Panics
///
/// If that takes longer than [`DEADLINE`]; `what` says what was waited for.
pub(crate) async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            if let Some(found) = condition().await {
                return found;
            }
        }
    };
    tokio::time::timeout(DEADLINE, looking)
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// A running `griot`.
pub(crate) struct Griot {
    child: Child,
    listening: oneshot::Receiver<String>,
    url: Option<String>,
}

impl Griot {
    /// Starts `griot` without any variables.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// Starts `griot` with these variables and no others.
    pub(crate) fn start_in(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(arguments);
        command.envs(environment.iter().copied());
        Self::of(command)
    }

    /// Starts `griot serve orders` on a free port, with its warnings going to a file.
    pub(crate) fn serve_logging(data: &Path, more: &[&str]) -> (Self, Log) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut command = command(&[&serve(data)[..], more].concat());
        command
            .env("RUST_LOG", "warn")
            .stderr(file.reopen().expect("a file"));
        (Self::of(command), Log(file))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("griot starts");
        let (announce, listening) = oneshot::channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            if let Some(url) = line.trim_end().strip_prefix("listening on ") {
                let _ = announce.send(url.to_owned());
            }
        });
        Self {
            child,
            listening,
            url: None,
        }
    }

    /// Starts `griot serve orders` on a free port.
    pub(crate) fn serve(data: &Path, more: &[&str]) -> Self {
        Self::start(&[&serve(data)[..], more].concat())
    }

    /// The base URL that it prints once it is ready.
    ///
    /// # Panics
    ///
    /// If it ends before, or is not ready within [`DEADLINE`].
    pub(crate) async fn ready(&mut self) -> String {
        if let Some(url) = &self.url {
            return url.clone();
        }
        let line = tokio::time::timeout(DEADLINE, &mut self.listening).await;
        let url = line.expect("ready in time").expect("ready before it ends");
        self.url.insert(url).clone()
    }

    /// kill -9: the process gets no chance to do anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Sends `signal`.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("signalled");
    }

    /// How it ended.
    ///
    /// # Panics
    ///
    /// If it does not end within [`DEADLINE`].
    pub(crate) async fn end(&mut self) -> ExitStatus {
        until("the process ends", async || {
            self.child.try_wait().expect("its own child")
        })
        .await
    }

    /// The most memory it ever had, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .expect("VmHWM");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        kib * 1024
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

fn serve(data: &Path) -> [&str; 6] {
    let data = data.to_str().expect("a path that is text");
    [
        "serve",
        "orders",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data,
    ]
}

/// What a process wrote to stderr.
pub(crate) struct Log(tempfile::NamedTempFile);

impl Log {
    /// All of it, so far.
    pub(crate) fn read(&self) -> String {
        std::fs::read_to_string(self.0.path()).expect("text")
    }
}

impl Drop for Griot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address below those that the kernel gives to outgoing connections: else a client that keeps
/// connecting to a server that is down can end up connected to itself.
pub(crate) fn quiet_address() -> String {
    loop {
        let address = format!("127.0.0.1:{}", fastrand::u16(20_000..32_000));
        if std::net::TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// How a `griot` that ends by itself ended: its exit code and what it wrote to stderr.
///
/// # Panics
///
/// If it does not end within [`DEADLINE`].
pub(crate) async fn ends(
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String) {
    let mut stderr = tempfile::tempfile().expect("a file");
    let mut command = command(arguments);
    command
        .envs(environment.iter().copied())
        .stderr(stderr.try_clone().expect("a file"));
    let code = Griot::of(command).end().await.code();
    let mut written = String::new();
    stderr.rewind().expect("a file");
    stderr.read_to_string(&mut written).expect("text");
    (code, written)
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_griot"));
    let log = std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned());
    command
        .args(arguments)
        .env_clear()
        .env("RUST_LOG", log)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}
