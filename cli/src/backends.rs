//! `griot backends`: plays the seven order backends over HTTP.

use std::io::{Write, stdout};
use std::num::NonZeroU32;

use axum::response::Redirect;
use axum::routing::get;
use clap::Args;
use griot_orders::backends::{Simulation, openapi, router};

use crate::failure::Failure;
use crate::limits::Room;
use crate::server::Server;
use crate::settings::Address;
use crate::signals::Signals;
use crate::span::Span;
use crate::{metrics, shell};

/// Connections served at a time.
const CONNECTIONS_MAX: NonZeroU32 = NonZeroU32::new(8192).unwrap();

/// Plays the seven order backends over HTTP and keeps books of what each was asked for, at /books.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot backends --listen 127.0.0.1:7171 --latency 20ms --fail-rate 0.03
  griot serve orders --backends http://127.0.0.1:7171
  curl -s http://127.0.0.1:7171/books

Every id exists but those that begin with MISSING. A failing call answers 5xx, sometimes after it took effect.")]
pub(crate) struct Arguments {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, value_name = "ADDR", env = "GRIOT_LISTEN")]
    listen: Address,

    /// How long every answer takes
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "DUR",
        default_value = "20ms"
    )]
    latency: Span,

    /// Which part of the calls fails, from 0.0 to 1.0
    #[arg(long, allow_hyphen_values = true, value_name = "RATE", default_value = "0.0", value_parser = rate)]
    fail_rate: f64,

    /// A card whose payments are declined; may be given often
    #[arg(long, value_name = "CARD-ID")]
    decline: Vec<String>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
    rate.ok_or_else(|| format!("`{text}` is not a rate: write a number from 0.0 to 1.0"))
}

/// Serves until the first signal.
///
/// # Errors
///
/// [`Failure::Listen`] when the address cannot be listened on.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut signals = Signals::take()?;
    let simulation = Simulation::new(arguments.latency.0, arguments.fail_rate, arguments.decline);
    let room = Room::make(CONNECTIONS_MAX);
    let services =
        router(simulation).route("/", get(async || Redirect::temporary("/openapi.json")));
    let app = shell::around(services, &openapi(), metrics::start(), async || Ok(()))
        .map_err(Failure::Description)?;
    let server = Server::bind(arguments.listen.0, room, app, shell::busy())?;
    announce(&server);
    tokio::select! {
        () = server.accept() => {}
        _ = signals.next() => {}
    }
    Ok(())
}

/// Tells whoever started the program where to connect; nobody listening there is no failure.
pub(crate) fn announce(server: &Server) {
    if let Ok(address) = server.address() {
        let mut stdout = stdout();
        let _ = writeln!(stdout, "listening on http://{address}").and_then(|()| stdout.flush());
    }
}
