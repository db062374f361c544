//! The `griot` program: serves the services, plays their backends, and puts load on them.
//!
//! This crate is wiring only: arguments, configuration, logs, the HTTP server and its shutdown. What
//! the services do lives in `services/`, what makes them durable in `crates/`.

mod backends;
mod broker;
mod failure;
mod journal;
mod limits;
mod load;
mod log;
mod metrics;
mod payload;
mod publish;
mod read_model;
mod serve;
mod server;
mod services;
mod settings;
mod shell;
mod signals;
mod span;
mod subscribe;
mod telemetry;
mod url;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing::Level;

use crate::failure::Failure;
use crate::telemetry::Telemetry;

/// Many small allocations, freed by other threads than made them, are what it is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long threads that are still busy may take after the work is done.
const RUNTIME_STOP_MAX: Duration = Duration::from_millis(500);

/// Durable actors: services that remember everything that happened to them and survive any crash.
#[derive(Debug, Parser)]
#[command(name = "griot", version, after_help = EXAMPLES)]
struct Griot {
    /// How log lines on stderr look; `RUST_LOG` says which (default: info for servers, warn for others)
    #[arg(
        long,
        global = true,
        env = "GRIOT_LOG_FORMAT",
        value_enum,
        default_value = "text"
    )]
    log_format: log::Format,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<settings::Settings>),
    Backends(backends::Arguments),
    Load(load::Arguments),
    Verify(verify::Arguments),
    Publish(publish::Arguments),
    Subscribe(subscribe::Arguments),
    Journal(journal::Arguments),
    ReadModel(read_model::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  griot serve                                   everything, on embedded parts
  curl -i localhost:7070/orders -H 'Content-Type: application/json' -H 'Prefer: wait=10' \\
    -d '{\"customer\":\"CUST-001\",\"merchant\":\"MRCN-001\",\"payment\":\"CARD-001\",\"items\":[{\"id\":\"IT-001\",\"qty\":1}]}'
  griot load orders --to http://localhost:7070 --orders 10000 --concurrency 64
  griot verify alarms                           whether the alarms keep their promises
  griot publish greetings '{\"text\":\"hello\"}'  to the embedded broker of `griot serve` on this machine
  griot subscribe greetings                     prints each message as a line of JSON
  griot journal stats                           what a journal holds; streams, events, state, verify, copy
  griot read-model status                       the lists that services keep; rebuild makes one anew

Exit codes: 0 done, 1 it could not be done, 2 a flag, a configuration key or a value is wrong.";

fn main() -> ExitCode {
    let matches = Griot::command().get_matches();
    let griot = Griot::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(griot, &matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

fn run(griot: Griot, matches: &clap::ArgMatches) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let outcome = match griot.command {
        Command::Serve(given) => {
            let settings = given.layered(griot.log_format, matches)?;
            let telemetry = Telemetry::from_environment()?;
            log::start(settings.log_format, Level::INFO, telemetry.layer());
            let outcome = runtime.block_on(serve::run(settings));
            telemetry.flush();
            outcome
        }
        Command::Backends(arguments) => {
            log::start(griot.log_format, Level::INFO, None);
            runtime.block_on(backends::run(arguments))
        }
        Command::Load(arguments) => {
            log::start(griot.log_format, Level::INFO, None);
            runtime.block_on(load::run(arguments))
        }
        Command::Verify(arguments) => {
            log::start(griot.log_format, Level::WARN, None);
            runtime.block_on(verify::run(arguments))
        }
        Command::Publish(arguments) => {
            log::start(griot.log_format, Level::WARN, None);
            runtime.block_on(publish::run(arguments))
        }
        Command::Subscribe(arguments) => {
            log::start(griot.log_format, Level::WARN, None);
            runtime.block_on(subscribe::run(arguments))
        }
        Command::Journal(arguments) => {
            log::start(griot.log_format, Level::WARN, None);
            runtime.block_on(journal::run(arguments))
        }
        Command::ReadModel(arguments) => {
            log::start(griot.log_format, Level::WARN, None);
            runtime.block_on(read_model::run(arguments))
        }
    };
    runtime.shutdown_timeout(RUNTIME_STOP_MAX);
    outcome
}
