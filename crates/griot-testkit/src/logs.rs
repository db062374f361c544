//! What a test's own thread logs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Collects what is logged on this thread, as JSON, a line each, for as long as it lives. A span
/// makes one line, when it closes.
///
/// ```
/// let logs = griot_testkit::Logs::collect();
/// tracing::warn!(answer = 42, "found");
/// assert!(logs.lines()[0].contains(r#""message":"found","answer":42"#));
/// ```
#[derive(Debug)]
pub struct Logs {
    text: Text,
    _guard: DefaultGuard,
}

impl Logs {
    /// Begins.
    pub fn collect() -> Self {
        // Where there is one subscriber only, `tracing` asks the thread that first comes by a place
        // that logs whether anybody listens there, and keeps the answer for all threads: another
        // test's, which has none, would silence this one. With a second subscriber it asks both.
        static SECOND: Once = Once::new();
        SECOND.call_once(|| {
            // An error says that there is one for all threads already.
            let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        });
        let text = Text::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(text.clone())
            .finish();
        Self {
            text,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// What was logged so far.
    pub fn lines(&self) -> Vec<String> {
        let bytes = self.text.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::to_owned).collect()
    }
}

/// Text in memory, behind the subscriber.
#[derive(Clone, Debug, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Text {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
