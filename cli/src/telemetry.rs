//! Spans on their way to an OpenTelemetry collector, where the environment names one.
//!
//! Without the feature `opentelemetry` there is no way, and an environment that wants one is refused.

use crate::failure::Failure;

/// What names a collector: the first one that is set.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

#[cfg(feature = "opentelemetry")]
pub(crate) use exported::Telemetry;
#[cfg(not(feature = "opentelemetry"))]
pub(crate) use left_out::Telemetry;

/// The variable that names a collector, and its value.
fn endpoint() -> Option<(&'static str, String)> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    ENDPOINTS
        .into_iter()
        .find_map(|name| Some((name, set(name)?)))
}

fn refused((name, value): (&str, String), why: &str) -> Failure {
    Failure::Configuration(format!("{name}: `{value}` {why}"))
}

#[cfg(feature = "opentelemetry")]
mod exported {
    use std::time::Duration;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::Layer as _;

    use super::{endpoint, refused};
    use crate::failure::Failure;
    use crate::log::SpanLayer;

    /// How long the last spans may take to go out when the program ends.
    const FLUSH_MAX: Duration = Duration::from_secs(2);

    /// Spans are gathered, and sent in batches by a thread of its own; while the collector is away,
    /// or too slow, they are dropped.
    #[derive(Debug)]
    pub(crate) struct Telemetry(Option<SdkTracerProvider>);

    impl Telemetry {
        /// As the environment says. To be called outside of a runtime.
        ///
        /// # Errors
        ///
        /// [`Failure::Configuration`] for an address that cannot be used.
        pub(crate) fn from_environment() -> Result<Self, Failure> {
            let Some(endpoint) = endpoint() else {
                return Ok(Self(None));
            };
            if !endpoint.1.starts_with("http://") {
                let why = "is not http://HOST:PORT: a collector is spoken to without TLS, so have one nearby";
                return Err(refused(endpoint, why));
            }
            let exporter = SpanExporter::builder().with_http().build();
            let exporter = exporter.map_err(|error| refused(endpoint, &error.to_string()))?;
            let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
                Some(_) => Resource::builder(),
                None => Resource::builder().with_service_name("griot"),
            };
            let spans = SdkTracerProvider::builder()
                .with_resource(resource.build())
                .with_batch_exporter(exporter);
            Ok(Self(Some(spans.build())))
        }

        /// Where spans begin their way.
        pub(crate) fn layer(&self) -> SpanLayer {
            let layer = tracing_opentelemetry::layer()
                .with_location(false)
                .with_threads(false)
                .with_tracer(self.0.as_ref()?.tracer("griot"));
            Some(layer.with_filter(LevelFilter::INFO).boxed())
        }

        /// Sends what is left, at the end of the program.
        pub(crate) fn flush(&self) {
            let sent = self
                .0
                .as_ref()
                .map(|spans| spans.shutdown_with_timeout(FLUSH_MAX));
            if let Some(Err(error)) = sent {
                tracing::warn!(%error, "the last spans did not reach the OpenTelemetry collector");
            }
        }
    }
}

#[cfg(not(feature = "opentelemetry"))]
mod left_out {
    use super::{endpoint, refused};
    use crate::failure::Failure;
    use crate::log::SpanLayer;

    /// There is none.
    #[derive(Debug)]
    pub(crate) struct Telemetry;

    impl Telemetry {
        /// As the environment says.
        ///
        /// # Errors
        ///
        /// [`Failure::Configuration`] where it names a collector.
        pub(crate) fn from_environment() -> Result<Self, Failure> {
            let why =
                "cannot be sent to: this program was built without the feature `opentelemetry`";
            endpoint().map_or(Ok(Self), |endpoint| Err(refused(endpoint, why)))
        }

        /// Where spans would begin their way.
        pub(crate) fn layer(&self) -> SpanLayer {
            None
        }

        /// Sends nothing.
        pub(crate) fn flush(&self) {}
    }
}
