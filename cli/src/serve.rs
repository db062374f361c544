//! `griot serve`: starts services, answers for them, and stops them in order.

use std::path::Path;
use std::time::Duration;

use griot::Drained;
use griot_orders::backends::{Authorities, Simulation};
use griot_orders::{Backends, Orders, OrdersConfig};

use crate::backends::announce;
use crate::failure::Failure;
use crate::limits::Room;
use crate::server::Server;
use crate::settings::{self, Settings};
use crate::signals::Signals;
use crate::{metrics, shell};

/// Of the time to drain, the part that closing what is left may take.
const CLOSING: Duration = Duration::from_millis(200);

/// Serves until a signal, then drains.
///
/// # Errors
///
/// [`Failure::Service`] when the data directory does not open, [`Failure::Listen`] when the address
/// is taken, [`Failure::Interrupted`] after a second signal.
pub(crate) async fn run(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::take()?;
    let (server, orders) = tokio::select! {
        started = start(&settings) => started?,
        // Nothing was acknowledged yet, so there is nothing to finish.
        _ = signals.next() => return Ok(()),
    };
    announce(&server);
    tokio::select! {
        () = server.accept() => {}
        _ = signals.next() => {}
    }
    let deadline = settings.drain_deadline.0;
    tracing::info!(?deadline, "draining; a second signal stops at once");
    tokio::select! {
        () = drain(server, orders, deadline) => Ok(()),
        code = signals.next() => Err(Failure::Interrupted { code }),
    }
}

async fn start(settings: &Settings) -> Result<(Server, Orders), Failure> {
    let rendered = metrics::start();
    let failed = |source| Failure::Service {
        service: "orders",
        source,
    };
    let backends = backends(settings)?;
    let griot = griot::open(&settings.data_dir)
        .await
        .map_err(|error| failed(error.into()))?;
    let mut config = OrdersConfig::default();
    config.calls.give_up_after = settings.backend_give_up_after.0;
    let orders = Orders::start(griot, backends, config)
        .await
        .map_err(|error| failed(error.into()))?;
    let ready = {
        let orders = orders.clone();
        move || orders.ready()
    };
    let app = shell::around(orders.router(), &Orders::openapi(), rendered, ready)
        .map_err(Failure::Description)?;
    let room = Room::make(settings.connections_max);
    let server = Server::bind(settings.listen.0, room, app, shell::busy())?;
    Ok((server, orders))
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

/// Ends intake, lets requests and orders in flight finish until the deadline, and leaves the rest,
/// which is durable, to the next start.
async fn drain(server: Server, orders: Orders, deadline: Duration) {
    let closing = deadline.saturating_sub(CLOSING);
    let answering = async {
        if tokio::time::timeout(closing, server.drain()).await.is_err() {
            tracing::warn!("the deadline is over; clients that still wait are cut off");
        }
    };
    let finishing = async { tokio::join!(answering, orders.drain(closing)).1 };
    match tokio::time::timeout(deadline, finishing).await {
        Ok(Drained { in_time: true, .. }) => tracing::info!("drained"),
        Ok(Drained { effects_left, .. }) => {
            tracing::warn!(
                effects_left,
                "the deadline is over; what is left goes on at the next start"
            );
        }
        Err(_) => tracing::warn!("the deadline is over; what is left goes on at the next start"),
    }
}
