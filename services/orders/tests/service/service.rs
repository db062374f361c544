//! The service under test, and its client.

use crate::backend::Backend;
use axum::http::{HeaderMap, Method};
use griot::journal::{EmbeddedLog, MemoryJournal, Options};
use griot::sql::SqlTarget;
use griot::{CallPolicy, Drained, Griot};
use griot_orders::{Backends, Orders, OrdersConfig};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How long anything may take that a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// The list of orders, in the service's directory.
const READ_MODEL: &str = "read-model.sqlite";

/// How long the service waits for a backend.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) struct Service {
    pub(crate) url: String,
    orders: Orders,
    server: JoinHandle<()>,
    client: reqwest::Client,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn id(&self) -> &str {
        self.body["id"].as_str().unwrap()
    }
}

/// A service in a fresh directory, with well-behaved backends that answer at once.
pub(crate) async fn fresh() -> (Service, Backend, TempDir) {
    let backend = Backend::start(0, 0.0, &["CARD-BAD"]).await;
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), &backend, config()).await;
    (service, backend, directory)
}

/// Retries at once and gives up soon.
pub(crate) fn config() -> OrdersConfig {
    let calls = CallPolicy {
        first_backoff: Duration::from_millis(5),
        backoff_max: Duration::from_millis(20),
        give_up_after: Duration::from_mins(1),
        ..OrdersConfig::default().calls
    };
    OrdersConfig {
        calls,
        ..OrdersConfig::default()
    }
}

/// Gives up after the first failure.
pub(crate) fn impatient() -> OrdersConfig {
    let calls = CallPolicy {
        give_up_after: Duration::ZERO,
        ..config().calls
    };
    OrdersConfig { calls, ..config() }
}

pub(crate) fn order() -> Value {
    json!({
        "customer": "CUST-001", "merchant": "MRCN-001", "payment": "CARD-001",
        "items": [{"id": "IT-001", "qty": 1}, {"id": "IT-002", "qty": 2}], "promo": "PROM-001",
    })
}

/// The order with one value changed, found by its pointer (RFC 6901).
pub(crate) fn order_with(pointer: &str, value: Value) -> Value {
    let mut order = order();
    *order.pointer_mut(pointer).unwrap() = value;
    order
}

impl Service {
    pub(crate) async fn start(directory: &Path, backend: &Backend, config: OrdersConfig) -> Self {
        let backends = Backends::http(&backend.url, CALL_TIMEOUT).unwrap();
        // Small segments, so that a test does not wait for 64 MiB of zeroes.
        let options = Options {
            segment_bytes: 1 << 20,
            ..Options::default()
        };
        let log = EmbeddedLog::open(directory, options).unwrap();
        let griot = Griot::builder(Arc::new(log), Arc::new(MemoryJournal::new()));
        let griot = Orders::register(griot, &backends, &config);
        let table = directory.join(READ_MODEL);
        let table = SqlTarget::open(table.to_str().unwrap(), Orders::tables()).await;
        let griot = griot.start().await.unwrap();
        let orders = Orders::start(griot, table.unwrap(), &config).await.unwrap();
        let app = griot::http::answer_with_problems(orders.router());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            orders,
            server,
            client: reqwest::Client::new(),
        }
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Ends as a crash would: nothing is finished, nobody is told. Gives the directory as a disk
    /// would have it after that.
    pub(crate) async fn crash(self, directory: TempDir) -> TempDir {
        self.server.abort();
        let _ = self.server.await;
        // Each open connection holds the service, so they end with the client.
        drop((self.orders, self.client));
        let after = tempfile::tempdir().unwrap();
        copy(directory.path(), after.path());
        after
    }

    /// Ends the orders; the server goes on.
    pub(crate) async fn stop(&self, deadline: Duration) -> Drained {
        self.orders.drain(deadline).await;
        self.orders.griot().drain(deadline).await
    }

    pub(crate) async fn drain(self) -> Drained {
        let drained = self.stop(DEADLINE).await;
        self.server.abort();
        let _ = self.server.await;
        drained
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = timeout(DEADLINE, request.send())
            .await
            .expect("an answer in time")
            .unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer {
            status,
            headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.ask(Method::POST, path, &[], "").await
    }

    pub(crate) async fn place(&self, order: &Value, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::POST, "/orders", headers, order.to_string())
            .await
    }

    /// Places an order and gives its id.
    pub(crate) async fn placed(&self, order: &Value) -> String {
        let answer = self.place(order, &[]).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.id().to_owned()
    }

    /// Places an order, waits until it is final and gives it whole.
    pub(crate) async fn ended(&self, order: &Value) -> Value {
        let answer = self.place(order, &[("prefer", "wait=60")]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Waits until the order is in this state and gives it whole.
    pub(crate) async fn reaches(&self, id: &str, state: &str) -> Value {
        let path = format!("/orders/{id}");
        until(&format!("{id} is {state}"), || async {
            self.get(&path).await.body["state"] == state
        })
        .await;
        self.get(&path).await.body
    }

    /// The names of the events of an order; its history must have no gap.
    pub(crate) async fn history(&self, id: &str) -> Vec<String> {
        let answer = self.get(&format!("/orders/{id}/history")).await;
        assert_eq!(answer.status, 200);
        let events = answer.body.as_array().unwrap().clone();
        for (event, seq) in events.iter().zip(1..) {
            assert_eq!(event["seq"], seq);
        }
        events
            .iter()
            .map(|event| event["event"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // It is made again of the journal; copied while its connections close, it would be half a file.
        if entry.file_name().to_string_lossy().starts_with(READ_MODEL) {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Waits until `condition` holds; fails after the deadline.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let begun = Instant::now();
    let mut ticks = interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !condition().await {
        assert!(
            begun.elapsed() < DEADLINE,
            "it never came to be that {what}"
        );
        ticks.tick().await;
    }
}
