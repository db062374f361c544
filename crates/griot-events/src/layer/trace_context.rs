//! Where in a trace one is, as the headers of messages and requests say it.

use std::fmt;

/// The header that says where in which trace a message was sent: W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";

/// The header with what tracing systems add to [`TRACEPARENT`]; it is passed on as it is.
pub const TRACESTATE: &str = "tracestate";

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A place in a trace: the value of the header [`TRACEPARENT`], which `to_string` gives.
///
/// The form is that of [W3C Trace Context, level 1](https://www.w3.org/TR/trace-context-1/#traceparent-header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) flags: u8,
}

impl TraceContext {
    /// A new trace, which others are asked to record.
    pub fn root() -> Self {
        Self {
            trace: fastrand::u128(1..),
            span: fastrand::u64(1..),
            flags: 1,
        }
    }

    /// A new place in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        let span = fastrand::u64(1..);
        Self { span, ..self }
    }

    /// Reads the value of a header; `None` where it is none, and a new trace has to begin.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = number(parts.next()?, 2)?;
        let context = Self {
            trace: number(parts.next()?, 32)?,
            span: u64::try_from(number(parts.next()?, 16)?).ok()?,
            flags: u8::try_from(number(parts.next()?, 2)?).ok()?,
        };
        // Versions to come may add parts at the end.
        let ends = version > 0 || parts.next().is_none();
        let valid = ends && version != 0xff && context.trace != 0 && context.span != 0;
        valid.then_some(context)
    }

    /// Where the event that this task handles is traced to, inside of [`Trace`](super::Trace).
    ///
    /// With the feature `opentelemetry`: where OpenTelemetry has the current span, if it collects it.
    pub fn current() -> Option<Self> {
        #[cfg(feature = "opentelemetry")]
        if let Some(context) = super::joined::here(&tracing::Span::current()) {
            return Some(context);
        }
        CURRENT.try_with(|context| *context).ok()
    }

    /// The trace's id: 32 hexadecimal digits.
    pub fn trace_id(self) -> impl fmt::Debug {
        fmt::from_fn(move |formatter| write!(formatter, "{:032x}", self.trace))
    }

    /// The place's id: 16 hexadecimal digits.
    pub fn span_id(self) -> impl fmt::Debug {
        fmt::from_fn(move |formatter| write!(formatter, "{:016x}", self.span))
    }

    /// Runs `future` with this as the [current](TraceContext::current) one.
    pub(super) fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }
}

/// A number of so many lowercase hexadecimal digits.
fn number(text: &str, digits: usize) -> Option<u128> {
    let lowercase = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let well_formed = text.len() == digits && text.bytes().all(lowercase);
    well_formed.then(|| u128::from_str_radix(text, 16).ok())?
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(formatter, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_header_is_read_and_written() {
        let context = TraceContext::parse(EXAMPLE).unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(
            format!("{:?}", context.trace_id()),
            "0af7651916cd43dd8448eb211c80319c"
        );
        let child = context.child();
        assert_eq!((child.trace, child.flags), (context.trace, context.flags));
        assert_ne!(child.span, context.span);
    }

    #[test]
    fn a_header_of_a_version_to_come_is_read_as_far_as_it_is_known() {
        let later = EXAMPLE.replacen("00", "cc", 1) + "-what-the-future-will-be-like";
        assert_eq!(TraceContext::parse(&later), TraceContext::parse(EXAMPLE));
    }

    #[test]
    fn what_is_no_header_is_not_read() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }
}
