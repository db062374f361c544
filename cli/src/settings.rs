//! What `griot serve` is told: flags over environment over a TOML file over defaults.
//!
//! One struct says all of it: clap reads flags and `GRIOT_…` variables into it and knows the
//! defaults; the file fills in what neither gave.

mod values;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Provider};
use serde::{Deserialize, Serialize};

use crate::broker::BrokerUrl;
use crate::failure::Failure;
use crate::journal::JournalUrl;
use crate::log::Format;
use crate::read_model::ReadModelUrl;
use crate::span::Span;
use crate::url::UrlParser;
use values::text;
pub(crate) use values::{Address, Backends, base_url};

/// Runs services until SIGINT or SIGTERM: prints `listening on http://ADDR` on stdout once ready.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
#[command(after_help = HELP)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Which services to run
    #[arg(value_name = "SERVICE", value_enum, default_values_t = [Service::Orders, Service::Alarms, Service::Carts])]
    pub(crate) services: Vec<Service>,

    /// Address to listen on; port 0 picks a free one
    #[arg(
        long,
        value_name = "ADDR",
        env = "GRIOT_LISTEN",
        default_value = "127.0.0.1:7070"
    )]
    #[serde(with = "text")]
    pub(crate) listen: Address,

    /// Directory that keeps everything; made if it is missing, and used by one process at a time
    #[arg(
        long,
        value_name = "DIR",
        env = "GRIOT_DATA_DIR",
        default_value = "./griot-data"
    )]
    pub(crate) data_dir: PathBuf,

    /// Where the history is kept: `embedded` is a log in the data directory; `postgres://HOST[:PORT]/DATABASE`
    /// is PostgreSQL, `mysql://HOST[:PORT]/DATABASE` MySQL or MariaDB, `cassandra://HOST[:PORT][,…]/KEYSPACE` Cassandra;
    /// each adapter's README has what else may stand there
    #[arg(
        long,
        value_name = "URL",
        env = "GRIOT_JOURNAL",
        hide_env_values = true,
        value_parser = UrlParser::<JournalUrl>::new(),
        default_value = "embedded"
    )]
    #[serde(with = "text")]
    pub(crate) journal: JournalUrl,

    /// Where messages come from and go to: `embedded` keeps them in the journal;
    /// `nats://HOST[:PORT]` is NATS with JetStream, `kafka://HOST:PORT[,…]` Kafka, `amqp://HOST[:PORT]`
    /// RabbitMQ; each adapter's README has what else may stand there
    #[arg(
        long,
        value_name = "URL",
        env = "GRIOT_BROKER",
        hide_env_values = true,
        value_parser = UrlParser::<BrokerUrl>::new(),
        default_value = "embedded"
    )]
    #[serde(with = "text")]
    pub(crate) broker: BrokerUrl,

    /// Where the read model is, whose tables other programs may query: a file of SQLite, `sqlite://PATH`,
    /// `postgres://HOST[:PORT]/DATABASE`, or `mysql://HOST[:PORT]/DATABASE`; `read-model.sqlite` in the data directory unless said.
    /// One that cannot be reached is waited for, and until it is there only the lists answer 503
    #[arg(
        long,
        value_name = "URL",
        env = "GRIOT_READ_MODEL",
        hide_env_values = true,
        value_parser = UrlParser::<ReadModelUrl>::new(),
    )]
    pub(crate) read_model: Option<ReadModelUrl>,

    /// Base URL of the seven order backends, http:// or https://, without user or password; proxies
    /// that the environment names are not used; `simulated` plays them in this process
    #[arg(
        long,
        value_name = "URL",
        env = "GRIOT_BACKENDS",
        default_value = "simulated"
    )]
    #[serde(with = "text")]
    pub(crate) backends: Backends,

    /// PEM file of certificate authorities that may sign for https:// backends, beside the machine's own
    #[arg(long, value_name = "FILE", env = "GRIOT_BACKENDS_CA")]
    pub(crate) backends_ca: Option<PathBuf>,

    /// How long each call to a backend may take before it is tried again
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "DUR",
        env = "GRIOT_BACKEND_TIMEOUT",
        default_value = "5s"
    )]
    #[serde(with = "text")]
    pub(crate) backend_timeout: Span,

    /// How long a backend may keep failing before its order needs attention; `POST /orders/{id}/resume` then goes on
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "DUR",
        env = "GRIOT_BACKEND_GIVE_UP_AFTER",
        default_value = "5m"
    )]
    #[serde(with = "text")]
    pub(crate) backend_give_up_after: Span,

    /// Send a digest of alarms also where there is nothing to tell
    #[arg(long, env = "GRIOT_SEND_EMPTY_DIGESTS")]
    pub(crate) send_empty_digests: bool,

    /// How long the simulated backends take to answer
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "DUR",
        env = "GRIOT_BACKEND_LATENCY",
        default_value = "20ms"
    )]
    #[serde(with = "text")]
    pub(crate) backend_latency: Span,

    /// How long work in flight may take to finish after SIGINT or SIGTERM; the rest waits for the next start
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "DUR",
        env = "GRIOT_DRAIN_DEADLINE",
        default_value = "20s"
    )]
    #[serde(with = "text")]
    pub(crate) drain_deadline: Span,

    /// Connections served at a time; one more is answered 503 with Retry-After
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "N",
        env = "GRIOT_CONNECTIONS_MAX",
        default_value = "4096"
    )]
    pub(crate) connections_max: NonZeroU32,

    /// TOML file with any of these settings, named as the flags are: data-dir = "/var/lib/griot"
    #[arg(long, value_name = "FILE", env = "GRIOT_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,

    /// The program's `--log-format`, which the file may set as well.
    #[arg(skip = Format::Text)]
    pub(crate) log_format: Format,
}

const HELP: &str = "\
Every flag is also a variable, GRIOT_DATA_DIR for --data-dir, and a key of the --config file, data-dir.
A flag beats the variable, the variable beats the file.

Examples:
  griot serve orders
  griot serve alarms --broker nats://localhost:4222
  griot serve --journal postgres://griot@db.internal/griot
  griot serve --listen 0.0.0.0:80 --data-dir /var/lib/griot --backends http://backends.internal
  GRIOT_LISTEN=127.0.0.1:0 griot serve --config griot.toml
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 griot serve

With OTEL_EXPORTER_OTLP_ENDPOINT, spans go to the OpenTelemetry collector there, over HTTP in Protocol
Buffers; OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER and what else OpenTelemetry's SDK reads hold as well.

When the data directory does not open:
  in use            another griot has it: stop that one, or give this one its own --data-dir
  no space left     nothing acknowledged is lost: free some space and start again
  gone              there was a log, or there are snapshots of one: restore the whole directory
                    from its latest backup; to begin anew, choose another --data-dir
  newer format      a newer griot wrote it: start that one, or restore a copy made before
  damaged           the start is refused and the file and byte are named, because going on would
                    hide what was lost. 1. Keep a copy of the whole directory as it is. 2. Check
                    the disk and the memory; a copy read elsewhere may be whole. 3. Restore the
                    directory from its latest backup. A record cut short at the very end of the
                    log by a crash was never acknowledged; it is cut off without being
                    asked, and a warning names the file, the byte and how many bytes.";

/// A service that `griot serve` can run.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Service {
    /// Orders that are never lost.
    Orders,
    /// Alarms of users, told in digests.
    Alarms,
    /// Carts, and a list of the items in all of them.
    Carts,
}

impl Settings {
    /// The services, for people.
    pub(crate) fn names(&self) -> String {
        let name = |service: &Service| match service {
            Service::Orders => "`orders`",
            Service::Alarms => "`alarms`",
            Service::Carts => "`carts`",
        };
        let names: Vec<_> = self.services.iter().map(name).collect();
        names.join(" and ")
    }

    /// These settings, given by flags, variables and defaults, over those of the `--config` file.
    ///
    /// # Errors
    ///
    /// [`Failure::ConfigurationFile`] when the file cannot be read, [`Failure::Configuration`] when
    /// it has an unknown key or a bad value; the text names the key, the value and the file.
    pub(crate) fn layered(
        mut self,
        log_format: Format,
        matches: &ArgMatches,
    ) -> Result<Self, Failure> {
        self.log_format = log_format;
        let Some(path) = self.config.clone() else {
            return Ok(self);
        };
        let text = std::fs::read_to_string(&path).map_err(|source| Failure::ConfigurationFile {
            flag: "--config",
            path: path.clone(),
            source,
        })?;
        let name_it = |error| Failure::Configuration(describe(&path, error));
        let flags = matches.subcommand().map_or(matches, |(_, flags)| flags);
        let mut given = dict(&self).map_err(name_it)?;
        given.retain(|key, _| {
            let source = flags.value_source(&key.replace('-', "_"));
            matches!(
                source,
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            )
        });
        Figment::from(Serialized::defaults(&self))
            .merge(KeysAsFlags(Toml::string(&text)))
            .merge(Serialized::defaults(given))
            .extract()
            .map_err(name_it)
    }
}

#[expect(
    clippy::result_large_err,
    reason = "figment's error, which ends the program"
)]
fn dict(settings: &Settings) -> Result<Dict, figment::Error> {
    Ok(Value::serialize(settings)?.into_dict().unwrap_or_default())
}

/// Every error that figment found, with the key, the value and the file.
fn describe(path: &Path, errors: figment::Error) -> String {
    let one = |error: figment::Error| match error.path.join(".") {
        key if key.is_empty() => error.kind.to_string(),
        key => format!("key `{key}`: {}", error.kind),
    };
    let texts: Vec<String> = errors.into_iter().map(one).collect();
    format!(
        "in the file given with --config, {}: {}",
        path.display(),
        texts.join("; ")
    )
}

/// A file's keys, spelled as flags are: `data_dir` is `data-dir`.
struct KeysAsFlags<P>(P);

impl<P: Provider> Provider for KeysAsFlags<P> {
    fn metadata(&self) -> figment::Metadata {
        self.0.metadata()
    }

    fn data(&self) -> Result<figment::value::Map<figment::Profile, Dict>, figment::Error> {
        let spell = |dict: Dict| {
            dict.into_iter()
                .map(|(key, value)| (key.replace('_', "-"), value))
                .collect()
        };
        Ok(self
            .0
            .data()?
            .into_iter()
            .map(|(profile, dict)| (profile, spell(dict)))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::{CommandFactory as _, FromArgMatches as _};
    use tempfile::NamedTempFile;

    use super::*;

    /// What `griot serve` would do with these arguments and this file.
    fn read(arguments: &[&str], file: &str) -> Result<Settings, String> {
        let mut config = NamedTempFile::new().unwrap();
        config.write_all(file.as_bytes()).unwrap();
        let path = config.path().to_str().unwrap();
        let all = ["griot", "serve", "--config", path]
            .into_iter()
            .chain(arguments.iter().copied());
        let matches = crate::Griot::command()
            .try_get_matches_from(all)
            .map_err(|error| error.to_string())?;
        let griot = crate::Griot::from_arg_matches(&matches).unwrap();
        let crate::Command::Serve(given) = griot.command else {
            unreachable!("asked to serve")
        };
        given
            .layered(griot.log_format, &matches)
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_file_beats_the_defaults() {
        let file = "listen = '0.0.0.0:80'\ndata-dir = '/data'\nbackend-latency = '1ms'\nlog-format = 'json'\n";
        let settings = read(&[], file).unwrap();
        assert_eq!(settings.listen.to_string(), "0.0.0.0:80");
        assert_eq!(settings.data_dir, Path::new("/data"));
        assert_eq!(settings.backend_latency.to_string(), "1ms");
        assert_eq!(settings.log_format, Format::Json);
        assert_eq!(settings.drain_deadline.to_string(), "20s");
        assert_eq!(
            settings.services,
            [Service::Orders, Service::Alarms, Service::Carts]
        );
    }

    #[test]
    fn a_flag_beats_the_file_also_when_it_says_what_the_default_says() {
        let flags = ["--listen", "127.0.0.1:7070", "--log-format", "text"];
        let settings = read(&flags, "listen = '0.0.0.0:80'\nlog-format = 'json'\n").unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:7070");
        assert_eq!(settings.log_format, Format::Text);
    }

    #[test]
    fn keys_may_be_spelled_with_underscores() {
        let settings = read(&[], "connections_max = 7").unwrap();
        assert_eq!(settings.connections_max.get(), 7);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = read(&[], "lisen = '0.0.0.0:80'").unwrap_err();
        assert!(
            error.contains("lisen") && error.contains("data-dir"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_value_is_named_with_its_key() {
        for (file, key, value) in [
            ("listen = 'nowhere'", "listen", "nowhere"),
            ("backend-latency = '20'", "backend-latency", "20"),
            ("drain-deadline = 20", "drain-deadline", "20"),
            ("connections-max = -1", "connections-max", "-1"),
            ("connections-max = 0", "connections-max", "0"),
            ("journal = 'mongodb://db'", "journal", "mongodb://"),
            ("broker = 'rabbit://hole'", "broker", "rabbit"),
            ("backends = 'ftp://files'", "backends", "ftp://files"),
            ("services = ['parcels']", "services", "parcels"),
            ("log-format = 'xml'", "log-format", "xml"),
        ] {
            let error = read(&[], file).unwrap_err();
            assert!(
                error.contains(key) && error.contains(value),
                "{file}: {error}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_toml_is_named() {
        let error = read(&[], "listen = = 3").unwrap_err();
        assert!(error.contains("--config"), "{error}");
    }
}
