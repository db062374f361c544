//! `griot verify`: tries a running service from the outside, through its broker.

use clap::{Args, Subcommand};
use griot_alarms::{VerifyError, VerifyOptions, verify};

use crate::broker::{self, BrokerUrl};
use crate::failure::Failure;
use crate::signals::Signals;
use crate::span::Span;
use crate::url::UrlParser;

/// Tries a running service from the outside, through the broker it listens to.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Alarms(Trial),
}

/// Plays users with alarms: changes of status that come late, out of order and more than once,
/// digests asked for and compared with what they must tell, and messages that nobody can read.
///
/// Prints `Smoke test passed` and exits 0, or says what was missing or wrong and exits 1. The users
/// have ids that nobody else has; their messages stay in the topics.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  griot verify alarms                                     the embedded broker of `griot serve` on this machine
  griot verify alarms --broker nats://localhost:4222")]
struct Trial {
    #[arg(
        long,
        help = BrokerUrl::HELP,
        value_name = "URL",
        env = "GRIOT_BROKER",
        hide_env_values = true,
        value_parser = UrlParser::<BrokerUrl>::new(),
        default_value = griot::events::EMBEDDED
    )]
    broker: BrokerUrl,

    /// How many users to play
    #[arg(long, value_name = "N", default_value_t = VerifyOptions::default().users)]
    users: usize,

    /// How many alarms each of them has
    #[arg(long, value_name = "N", default_value_t = VerifyOptions::default().alarms)]
    alarms: usize,

    /// How long it may take
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "DUR",
        default_value = "60s"
    )]
    within: Span,
}

/// Tries the service.
///
/// # Errors
///
/// [`Failure::Broker`] when the broker cannot be reached, [`Failure::Verdict`] when the service does
/// not keep a promise, [`Failure::Interrupted`] after a signal.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut signals = Signals::take()?;
    let What::Alarms(trial) = arguments.what;
    tokio::select! {
        tried = trial.run() => tried,
        code = signals.next() => Err(Failure::Interrupted { code }),
    }
}

impl Trial {
    async fn run(self) -> Result<(), Failure> {
        let broker = broker::connect(&self.broker).await?;
        let options = VerifyOptions {
            users: self.users,
            alarms: self.alarms,
            within: self.within.0,
        };
        let verdict = verify(broker, options).await;
        verdict.map_err(|error: VerifyError| Failure::Verdict(error.to_string()))?;
        println!("Smoke test passed");
        Ok(())
    }
}
