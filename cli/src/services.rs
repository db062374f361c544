//! The services of `griot serve` and what they stand on: started together, stopped in order.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use griot::core::EntityId;
use griot::events::{self, Broker, BrokerError};
use griot::journal::{DirectoryLock, Files, JournalError, SeqRange};
use griot::journals::Opened;
use griot::{Drained, EntityError, Griot};
use griot_alarms::{Alarms, AlarmsConfig};
use griot_carts::{Carts, CartsConfig};
use griot_orders::backends::{Authorities, Simulation};
use griot_orders::{Backends, Orders, OrdersConfig};
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::openapi::{Info, OpenApi, Paths};

use crate::broker::{self, BrokerUrl};
use crate::failure::Failure;
use crate::read_model;
use crate::settings::{self, Service, Settings};

/// How long a broker or a journal may take to say that it is there.
const CHECK_MAX: Duration = Duration::from_secs(2);

/// Between two attempts to reach a broker or a journal when the program starts.
const RETRY: Duration = Duration::from_secs(1);

/// What runs behind the HTTP server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    griot: Griot,
    broker: Arc<dyn Broker>,
    orders: Option<Orders>,
    alarms: Option<Alarms>,
    carts: Option<Carts>,
    /// Whether other processes reach the broker through this one only.
    is_embedded: bool,
    /// Of the data directory, where the journal, being elsewhere, does not hold it.
    _directory: Option<Arc<DirectoryLock>>,
}

impl Services {
    /// Opens the journal and the broker, and starts the services that the settings name.
    ///
    /// # Errors
    ///
    /// [`Failure::Service`] when the data directory does not open, [`Failure::Journal`] for a journal
    /// that says no, [`Failure::ReadModel`] for a read model that does, [`Failure::Configuration`] for a value that
    /// cannot be used. A journal or a broker that cannot be reached is waited for. A read model that cannot holds up
    /// nothing: it is there later.
    ///
    /// # Cancel safety
    ///
    /// Dropped, what was started ends as in a crash: nothing was acknowledged yet.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, Failure> {
        let backends = backends(settings)?;
        let directory = (!settings.journal.is_embedded()).then(|| {
            let taken = DirectoryLock::take(&Files, &settings.data_dir);
            taken.map_err(|error| failed(settings, error.into()))
        });
        let directory = directory.transpose()?.map(Arc::new);
        loop {
            let source = match Self::begin(settings, &backends, directory.clone()).await {
                Err(Failure::Journal {
                    source: source @ JournalError::Unreachable(_),
                    ..
                }) => source,
                other => return other,
            };
            let url = settings.journal.shown();
            tracing::warn!(url, error = %source, "the journal cannot be reached, it is waited for");
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn begin(
        settings: &Settings,
        backends: &Backends,
        directory: Option<Arc<DirectoryLock>>,
    ) -> Result<Self, Failure> {
        let runs = |service| settings.services.contains(&service);
        let Opened {
            journal, snapshots, ..
        } = open(settings).await?;
        let mut builder = Griot::builder(journal, snapshots);
        let url = &settings.broker;
        let open = || events::open(url.as_str(), builder.journal());
        let broker = once_reached(url, open).await?;
        builder = builder.publisher(events::publisher(Arc::clone(&broker)));
        let mut of_orders = OrdersConfig::default();
        of_orders.calls.give_up_after = settings.backend_give_up_after.0;
        if runs(Service::Orders) {
            builder = Orders::register(builder, backends, &of_orders);
        }
        let config = AlarmsConfig {
            send_empty_digests: settings.send_empty_digests,
            ..AlarmsConfig::default()
        };
        if runs(Service::Alarms) {
            builder = Alarms::register(builder, &config);
        }
        if runs(Service::Carts) {
            builder = Carts::register(builder, &CartsConfig::default());
        }
        let griot = builder.start().await.map_err(|error| match error {
            EntityError::Journal(source @ JournalError::Unreachable(_)) => {
                settings.journal.failed(&settings.data_dir, source)
            }
            error => failed(settings, error.into()),
        })?;
        let list = read_model::url(settings);
        let orders = runs(Service::Orders)
            .then(|| Orders::start_at(griot.clone(), list.as_str(), &of_orders));
        let of_carts = CartsConfig::default();
        let carts =
            runs(Service::Carts).then(|| Carts::start_at(griot.clone(), list.as_str(), &of_carts));
        let begun = |kept| read_model::begun(settings, kept);
        let of_orders = begun(orders.as_ref().map(Orders::kept));
        tokio::try_join!(of_orders, begun(carts.as_ref().map(Carts::kept)))?;
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
            carts,
            is_embedded: url.is_embedded(),
            _directory: directory,
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
        if let Some(carts) = &self.carts {
            routes = routes.merge(carts.router());
            description.merge(Carts::openapi());
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
        if let Some(alarms) = &self.alarms {
            alarms.ready()?;
        }
        let lists = async {
            if let Some(orders) = &self.orders {
                orders.ready().await?;
            }
            if let Some(carts) = &self.carts {
                carts.ready().await?;
            }
            Ok(())
        };
        let late = |_| Err(format!("the read model: no answer within {CHECK_MAX:?}"));
        timeout(CHECK_MAX, lists).await.unwrap_or_else(late)?;
        let broker = async { self.broker.check().await.map_err(|error| error.in_full()) };
        let journal = async {
            self.reach_the_journal()
                .await
                .map_err(|error| error.to_string())
        };
        check("the journal", journal).await?;
        check("the broker", broker).await
    }

    /// Asks the journal for what costs it next to nothing.
    async fn reach_the_journal(&self) -> Result<(), EntityError> {
        let nobody = EntityId::new("griot", "readyz")?;
        let one = SeqRange {
            limit: 1,
            ..SeqRange::ALL
        };
        self.griot.journal().events(&nobody, one).await?;
        Ok(())
    }

    /// Ends in good order: takes no more messages in, lets what runs come to its end until the
    /// deadline, and leaves the rest, which is durable, to the next start.
    pub(crate) async fn drain(&self, deadline: Duration) -> Drained {
        let end = Instant::now() + deadline;
        // Before the journal that they read is closed. A database that does not answer takes the others no more time.
        let orders = async {
            if let Some(orders) = &self.orders {
                orders.drain(deadline / 4).await;
            }
        };
        let carts = async {
            if let Some(carts) = &self.carts {
                carts.drain(deadline / 4).await;
            }
        };
        let alarms = async {
            if let Some(alarms) = &self.alarms {
                // First, since its handlers ask entities.
                alarms.drain(deadline).await;
            }
        };
        tokio::join!(orders, carts, alarms);
        let left = end.saturating_duration_since(Instant::now());
        let drained = self.griot.drain(left).await;
        let closed = timeout_at(end, self.broker.close()).await;
        Drained {
            in_time: drained.in_time && closed.is_ok(),
            ..drained
        }
    }
}

/// The journal that the settings name.
async fn open(settings: &Settings) -> Result<Opened, Failure> {
    let opened = settings.journal.open(&settings.data_dir).await;
    opened.map_err(|failure| match failure {
        Failure::Journal { source, .. } if settings.journal.is_embedded() => {
            failed(settings, source.into())
        }
        failure => failure,
    })
}

fn failed(settings: &Settings, source: Box<dyn Error + Send + Sync>) -> Failure {
    let services = settings.names();
    Failure::Service { services, source }
}

/// What does not work, and why; what does not answer within a while does not, either.
async fn check(
    what: &str,
    checking: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    let late = |_| Err(format!("no answer within {CHECK_MAX:?}"));
    let checked = timeout(CHECK_MAX, checking).await.unwrap_or_else(late);
    checked.map_err(|error| format!("{what}: {error}"))
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
                tokio::time::sleep(RETRY).await;
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
