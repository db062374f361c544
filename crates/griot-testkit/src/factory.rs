//! What a suite needs to know of the thing it tests.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use griot_events::Broker;
use griot_journal::{Archive, Journal, SnapshotStore};

/// Opens the journal that a suite tests.
///
/// Each value is a place of its own. The first [`open`](Self::open) finds it empty; a later one,
/// called after the journal before it was closed and dropped, finds what that one stored. A
/// journal that stores nothing beyond its own life is opened once a case, except by the Reopen
/// suite, which is not for it.
pub trait JournalFactory: Send + Sync {
    /// Opens it.
    fn open(&self) -> impl Future<Output = Arc<dyn Journal>> + Send;
}

/// Opens the journal, empty, in a place of its own, as one that can be carried elsewhere.
pub trait ArchiveFactory: Send + Sync {
    /// Opens it.
    fn open(&self) -> impl Future<Output = Arc<dyn Archive>> + Send;
}

/// Opens the snapshot store that a suite tests, empty, in a place of its own.
pub trait SnapshotFactory: Send + Sync {
    /// Opens it.
    fn open(&self) -> impl Future<Output = Arc<dyn SnapshotStore>> + Send;
}

/// Opens the broker that a suite tests.
///
/// Each [`open`](Self::open) of one value reaches the same messages, so that what one stored is
/// there for a later one. An earlier one was closed before; a broker that is part of the program may
/// so open its store anew. Cases name their topics and groups so that no two cases share any.
pub trait BrokerFactory: Send + Sync {
    /// Opens it.
    fn open(&self) -> impl Future<Output = Arc<dyn Broker>> + Send;
}

/// A function that opens it will do.
impl<O, F> BrokerFactory for O
where
    O: Fn() -> F + Send + Sync,
    F: Future<Output = Arc<dyn Broker>> + Send,
{
    async fn open(&self) -> Arc<dyn Broker> {
        self().await
    }
}

/// A broker whose server the suite may disturb.
pub trait BrokerServer: BrokerFactory {
    /// Ends the server, starts it anew with what it had stored, and returns once it listens.
    fn restart(&self, end: End) -> impl Future<Output = ()> + Send;
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is asked to, and does before what it likes to do.
    Stopped,
    /// kill -9.
    Killed,
}

/// A broker behind a network that the suite may disturb.
pub trait BrokerNetwork: BrokerFactory {
    /// Begins a trouble, which lasts until [`heal`](Self::heal).
    fn disturb(&self, trouble: Trouble) -> impl Future<Output = ()> + Send;

    /// Ends every trouble. Connections that suffered need not recover, new ones are as good as ever.
    fn heal(&self) -> impl Future<Output = ()> + Send;
}

/// What a network may do to those who speak over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// What is sent arrives a while later, which varies, and little at a time.
    Slow,
    /// What the server says arrives after [`LATE`], longer than anybody may wait for an answer.
    Late,
    /// All connections end, and none can be made.
    Cut,
    /// Connections stay and can be made, but nothing arrives that is sent this way.
    HalfOpen(Way),
    /// The connections that there are stay open for both sides, and nothing arrives any more; new ones
    /// are as good as ever.
    Forgotten,
}

/// Which way something is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By us.
    ToServer,
    /// To us.
    FromServer,
}

/// How late [`Trouble::Late`] is. What is tested waits for an answer for less.
pub const LATE: Duration = Duration::from_secs(6);

/// How long a case may take.
const CASE_DEADLINE: Duration = Duration::from_mins(5);

/// Runs a case on a runtime of its own.
///
/// # Panics
///
/// When the case does, when it takes longer than five minutes, and when no runtime can be had.
pub fn run<T>(case: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    #[expect(
        clippy::expect_used,
        reason = "it is documented, and a test has nowhere else to go"
    )]
    let runtime = builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let case = async { tokio::time::timeout(CASE_DEADLINE, case).await };
    #[expect(
        clippy::expect_used,
        reason = "it is documented, and a test has nowhere else to go"
    )]
    runtime
        .block_on(case)
        .expect("the case ends within five minutes")
}

/// One test per case: `cases!(factory; suite path; case, case, …)`.
#[doc(hidden)]
#[macro_export]
macro_rules! cases {
    ($factory:expr; $suite:path; $($case:ident,)+) => {
        $(
            #[test]
            fn $case() {
                use $suite as suite;
                let factory = $factory;
                $crate::run(suite::$case(&factory));
            }
        )+
    };
}
