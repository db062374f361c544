//! The services of `griot serve` and what they stand on: started together, stopped in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use griot::events::{self, Broker, BrokerError};
use griot::{Drained, Griot};
use griot_alarms::{Alarms, AlarmsConfig};
use griot_orders::backends::{Authorities, Simulation};
use griot_orders::{Backends, Orders, OrdersConfig};
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::openapi::{Info, OpenApi, Paths};

use crate::broker::{self, BrokerUrl};
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
    alarms: Option<Alarms>,
    /// Whether other processes reach the broker through this one only.
    is_embedded: bool,
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
        let url = &settings.broker;
        let open = || events::open(url.as_str(), builder.journal());
        let broker = once_reached(url, open).await?;
        builder = builder.publisher(events::publisher(Arc::clone(&broker)));
        if runs(Service::Orders) {
            let mut config = OrdersConfig::default();
            config.calls.give_up_after = settings.backend_give_up_after.0;
            builder = Orders::register(builder, &backends, &config);
        }
        let config = AlarmsConfig {
            send_empty_digests: settings.send_empty_digests,
            ..AlarmsConfig::default()
        };
        if runs(Service::Alarms) {
            builder = Alarms::register(builder, &config);
        }
        let griot = builder.start().await;
        let griot = griot.map_err(|error| failed(error.into()))?;
        let orders = runs(Service::Orders).then(|| Orders::start(griot.clone()));
        let mut alarms = None;
        if runs(Service::Alarms) {
            let start = || Alarms::start(griot.clone(), Arc::clone(&broker), config.clone());
            alarms = Some(once_reached(url, start).await?);
        }
        Ok(Self {
            griot,
            broker,
            orders,
            alarms,
            is_embedded: url.is_embedded(),
        })
    }

    /// The routes of all of them, and their description.
    pub(crate) fn routes(&self) -> (Router, OpenApi) {
        let mut routes = Router::new();
        let about = Info::new("griot", env!("CARGO_PKG_VERSION"));
        let mut description = OpenApi::new(about, Paths::new());
        if let Some(orders) = &self.orders {
            routes = routes.merge(orders.router());
            description.merge(Orders::openapi());
        } else {
            routes = routes.route("/", get(async || Redirect::temporary("/openapi.json")));
        }
        if let Some(alarms) = &self.alarms {
            routes = routes.merge(alarms.router());
            description.merge(Alarms::openapi());
        }
        if self.is_embedded {
            routes = routes.merge(griot_remote::serve(Arc::clone(&self.broker)));
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
        if let Some(alarms) = &self.alarms {
            alarms.ready()?;
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
        if let Some(alarms) = &self.alarms {
            let left = end.saturating_duration_since(Instant::now());
            // First, since its handlers ask entities.
            alarms.drain(left).await;
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

/// What `begin` gives once the broker can be reached: it may start later than this program.
async fn once_reached<T, F>(url: &BrokerUrl, begin: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, BrokerError>>,
{
    loop {
        match begin().await {
            Ok(reached) => return Ok(reached),
            Err(error @ BrokerError::Unreachable(_)) => {
                let error = error.in_full();
                tracing::warn!(
                    url = url.shown(),
                    error,
                    "the broker cannot be reached, it is waited for"
                );
                tokio::time::sleep(BROKER_RETRY).await;
            }
            Err(source) => return Err(broker::failed(url, source)),
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
