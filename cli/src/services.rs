//! The services of `griot serve` and what they stand on: started together, stopped in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use griot::events::{self, Broker, BrokerError};
use griot::journal::Journal;
use griot::{Drained, Griot};
use griot_orders::backends::{Authorities, Simulation};
use griot_orders::{Backends, Orders, OrdersConfig};
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::openapi::OpenApi;

use crate::failure::Failure;
use crate::settings::{self, Service, Settings};

/// How long a broker may take to say that it is there.
const CHECK_MAX: Duration = Duration::from_secs(2);

/// Between two attempts to reach a broker when the program starts.
const BROKER_RETRY: Duration = Duration::from_secs(1);

/// What runs behind the HTTP server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    griot: Griot,
    broker: Arc<dyn Broker>,
    orders: Option<Orders>,
}

impl Services {
    /// Opens the journal and the broker, and starts the services that the settings name.
    ///
    /// # Errors
    ///
    /// [`Failure::Service`] when the data directory does not open, [`Failure::Configuration`] for a
    /// value that cannot be used.
    ///
    /// # Cancel safety
    ///
    /// Dropped, what was started ends as in a crash: nothing was acknowledged yet.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, Failure> {
        let runs = |service| settings.services.contains(&service);
        let failed = |source| Failure::Service {
            services: settings.names(),
            source,
        };
        let backends = backends(settings)?;
        let mut builder = griot::open(&settings.data_dir)
            .await
            .map_err(|error| failed(error.into()))?;
        let broker = open_broker(&settings.broker.0, builder.journal()).await?;
        builder = builder.publisher(events::publisher(Arc::clone(&broker)));
        if runs(Service::Orders) {
            let mut config = OrdersConfig::default();
            config.calls.give_up_after = settings.backend_give_up_after.0;
            builder = Orders::register(builder, &backends, &config);
        }
        let griot = builder.start().await;
        let griot = griot.map_err(|error| failed(error.into()))?;
        Ok(Self {
            orders: runs(Service::Orders).then(|| Orders::start(griot.clone())),
            griot,
            broker,
        })
    }

    /// The routes of all of them, and their description.
    pub(crate) fn routes(&self) -> (Router, OpenApi) {
        let mut routes = Router::new();
        let mut description = OpenApi::default();
        if let Some(orders) = &self.orders {
            routes = routes.merge(orders.router());
            description.merge(Orders::openapi());
        }
        (routes, description)
    }

    /// Whether everything works.
    ///
    /// # Errors
    ///
    /// What does not, and why, in words for people.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        if let Some(trouble) = self.griot.trouble() {
            return Err(format!("the journal: {trouble}"));
        }
        if let Some(orders) = &self.orders {
            orders.ready()?;
        }
        match timeout(CHECK_MAX, self.broker.check()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the broker: {}", error.in_full())),
            Err(_) => Err(format!("the broker: no answer within {CHECK_MAX:?}")),
        }
    }

    /// Ends in good order: takes no more messages in, lets what runs come to its end until the
    /// deadline, and leaves the rest, which is durable, to the next start.
    pub(crate) async fn drain(&self, deadline: Duration) -> Drained {
        let end = Instant::now() + deadline;
        if let Some(orders) = &self.orders {
            orders.stop();
        }
        let left = end.saturating_duration_since(Instant::now());
        let drained = self.griot.drain(left).await;
        let closed = timeout_at(end, self.broker.close()).await;
        Drained {
            in_time: drained.in_time && closed.is_ok(),
            ..drained
        }
    }
}

/// Opens the broker. One that cannot be reached is waited for: it may start later than this program.
async fn open_broker(url: &str, journal: &Arc<dyn Journal>) -> Result<Arc<dyn Broker>, Failure> {
    loop {
        match events::open(url, journal).await {
            Ok(broker) => return Ok(broker),
            Err(error @ BrokerError::Unreachable(_)) => {
                let error = error.in_full();
                tracing::warn!(
                    error,
                    "the broker given with --broker cannot be reached, it is waited for"
                );
                tokio::time::sleep(BROKER_RETRY).await;
            }
            Err(error) => return Err(Failure::Broker(error)),
        }
    }
}

/// The backends that the settings name.
fn backends(settings: &Settings) -> Result<Backends, Failure> {
    let authorities = match &settings.backends_ca {
        Some(path) => authorities(path)?,
        None => Authorities::platform(),
    };
    match &settings.backends {
        settings::Backends::Simulated => {
            let latency = settings.backend_latency.0;
            Ok(Backends::simulated(Simulation::new(
                latency,
                0.0,
                Vec::new(),
            )))
        }
        settings::Backends::Http(url) => {
            let timeout = settings.backend_timeout.0;
            Backends::http_trusting(&authorities, url, timeout)
                .map_err(|error| Failure::Configuration(format!("--backends: {error}")))
        }
    }
}

fn authorities(path: &Path) -> Result<Authorities, Failure> {
    let pem = std::fs::read(path).map_err(|source| Failure::ConfigurationFile {
        flag: "--backends-ca",
        path: path.to_owned(),
        source,
    })?;
    Authorities::and_of_pem(&pem).map_err(|error| {
        let path = path.display();
        Failure::Configuration(format!(
            "the file given with --backends-ca, {path}: {error}"
        ))
    })
}
