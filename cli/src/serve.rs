//! `griot serve`: starts services, answers for them, and stops them in order.

use std::time::Duration;

use griot::Drained;

use crate::backends::announce;
use crate::failure::Failure;
use crate::limits::Room;
use crate::server::Server;
use crate::services::Services;
use crate::settings::Settings;
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
    let (server, services) = tokio::select! {
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
        () = drain(server, services, deadline) => Ok(()),
        code = signals.next() => Err(Failure::Interrupted { code }),
    }
}

async fn start(settings: &Settings) -> Result<(Server, Services), Failure> {
    let rendered = metrics::start();
    let services = Services::start(settings).await?;
    let ready = {
        let services = services.clone();
        move || {
            let services = services.clone();
            async move { services.ready().await }
        }
    };
    let (routes, description) = services.routes();
    let app = shell::around(routes, &description, rendered, ready).map_err(Failure::Description)?;
    let room = Room::make(settings.connections_max);
    let server = Server::bind(settings.listen.0, room, app, shell::busy())?;
    Ok((server, services))
}

/// Ends intake, lets requests and services finish until the deadline, and leaves the rest,
/// which is durable, to the next start.
async fn drain(server: Server, services: Services, deadline: Duration) {
    let closing = deadline.saturating_sub(CLOSING);
    let answering = async {
        if tokio::time::timeout(closing, server.drain()).await.is_err() {
            tracing::warn!("the deadline is over; clients that still wait are cut off");
        }
    };
    let finishing = async { tokio::join!(answering, services.drain(closing)).1 };
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
