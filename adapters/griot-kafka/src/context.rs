//! What a client of Kafka tells the rest of the adapter: log lines, errors, and that it needs a token.

use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use griot_events::BrokerError;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::fault;
use crate::options::{KafkaOptions, Login, TokenSource};

/// The context of a client; `R` is what its role adds.
#[derive(Debug)]
pub(crate) struct Context<R> {
    pub(crate) role: R,
    tokens: Option<TokenSource>,
    /// Why the server would not have us, until it is read.
    refusal: Mutex<Option<BrokerError>>,
}

impl<R> Context<R> {
    pub(crate) fn new(options: &KafkaOptions, role: R) -> Self {
        let tokens = match &options.login {
            Login::Token(source) => Some(source.clone()),
            _ => None,
        };
        Self {
            role,
            tokens,
            refusal: Mutex::new(None),
        }
    }

    /// Why the server would not have us, where it said so since this was asked last.
    pub(crate) fn take_refusal(&self) -> Option<BrokerError> {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.take()
    }
}

impl<R: Send + Sync> ClientContext for Context<R> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "{message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::warn!(facility, "{message}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, "{message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka's client reports an error, and goes on");
        let code = error.rdkafka_error_code().filter(|code| {
            matches!(
                code,
                RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL
            )
        });
        if let Some(BrokerError::Refused { what, reason: hint }) =
            code.and_then(|code| fault::refusal("the connection", code))
        {
            let reason = format!("{hint}: {reason}");
            let refusal = BrokerError::Refused { what, reason };
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        }
    }

    fn generate_oauth_token(
        &self,
        _configuration: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let source = self
            .tokens
            .as_ref()
            .ok_or("no source of tokens was given")?;
        let token = source.token().map_err(|error| {
            tracing::warn!(%error, "no token for Kafka");
            error.to_string()
        })?;
        let ends = token.ends.duration_since(UNIX_EPOCH)?;
        Ok(OAuthToken {
            token: token.value,
            // It is not sent: the server reads the principal from the token.
            principal_name: String::new(),
            lifetime_ms: i64::try_from(ends.as_millis())?,
        })
    }
}
