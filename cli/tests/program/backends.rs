//! The seven backends in a process of their own, and what their books say.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::process::{Griot, until};

/// A card whose payments are declined.
pub(crate) const CARD_DECLINED: &str = "CARD-DECLINED";

/// Running backends.
pub(crate) struct Backends {
    _process: Griot,
    /// Their base URL.
    pub(crate) url: String,
    client: reqwest::Client,
}

/// What was asked of the backends, by idempotency key.
#[derive(Deserialize)]
pub(crate) struct Books {
    /// Keys that were dropped to bound the books.
    pub(crate) forgotten: u64,
    /// A page for each key.
    pub(crate) keys: BTreeMap<String, Page>,
}

/// What was asked under one key.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    /// The kind of effect.
    pub(crate) what: String,
    /// The order or the invoice that it is about.
    pub(crate) subject: String,
    /// The money that it is about.
    pub(crate) amount: Option<i64>,
    /// How often it was asked for.
    pub(crate) asked: u64,
    /// How often it took effect.
    pub(crate) effects: u64,
    /// How often something else was asked for under this key.
    pub(crate) conflicts: u64,
}

impl Backends {
    /// Starts them: `fail_rate` of the calls fail, and [`CARD_DECLINED`] is declined.
    pub(crate) async fn start(latency: &str, fail_rate: &str) -> Self {
        let fixed = [
            "backends",
            "--listen",
            "127.0.0.1:0",
            "--decline",
            CARD_DECLINED,
        ];
        let mut process = Griot::start(
            &[
                &fixed[..],
                &["--latency", latency, "--fail-rate", fail_rate],
            ]
            .concat(),
        );
        let url = process.ready().await;
        Self {
            _process: process,
            url,
            client: reqwest::Client::new(),
        }
    }

    /// What is at `path`, asked again for as long as the call is one of those that fail.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        until("a backend answers", async || {
            let response = self
                .client
                .get(format!("{}{path}", self.url))
                .send()
                .await
                .ok()?;
            response.error_for_status().ok()?.json().await.ok()
        })
        .await
    }
}
