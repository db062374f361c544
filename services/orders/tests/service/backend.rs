//! The seven backends over real HTTP: the simulation, and trouble in front of it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use griot_orders::backends::{Simulation, router};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How a backend misbehaves.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// It answers with this status.
    Status(u16),
    /// It never answers.
    Hangs,
    /// It answers, but never finishes its answer.
    Trickles,
    /// It answers with this.
    Answers(Value),
    /// It answers with what is no JSON.
    Garbage,
    /// It answers with more than anybody wants to read.
    Endless,
    /// It does what is asked, and then says that it failed.
    FailsAfterwards,
    /// It answers only once it is let.
    Waits(Arc<tokio::sync::Semaphore>),
}

/// A request that a backend got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Method and path.
    pub(crate) what: String,
    pub(crate) key: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) url: String,
    simulation: Simulation,
    shared: Arc<Shared>,
    server: Arc<Server>,
}

struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Default)]
struct Shared {
    /// By the beginning of method and path.
    trouble: Mutex<Vec<(String, Trouble)>>,
    asked: Mutex<Vec<Asked>>,
}

impl Backend {
    pub(crate) async fn start(latency_ms: u64, fail_rate: f64, declined: &[&str]) -> Self {
        let declined = declined.iter().map(ToString::to_string).collect();
        let simulation = Simulation::new(Duration::from_millis(latency_ms), fail_rate, declined);
        let shared = Arc::<Shared>::default();
        let layer = from_fn_with_state(Arc::clone(&shared), between);
        let app = router(simulation.clone()).layer(layer);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            simulation,
            shared,
            server: Arc::new(Server(server)),
        }
    }

    /// From now on, requests whose method and path begin with `what` meet this trouble.
    pub(crate) fn trouble(&self, what: &str, trouble: Trouble) {
        self.shared
            .trouble
            .lock()
            .unwrap()
            .push((what.to_owned(), trouble));
    }

    /// From now on, all is well.
    pub(crate) fn recover(&self) {
        self.shared.trouble.lock().unwrap().clear();
    }

    /// Goes away: connections are refused from now on.
    pub(crate) fn go_away(&self) {
        self.server.0.abort();
    }

    /// Every request so far whose method and path begin with `what`.
    pub(crate) fn asked(&self, what: &str) -> Vec<Asked> {
        let asked = self.shared.asked.lock().unwrap();
        asked
            .iter()
            .filter(|asked| asked.what.starts_with(what))
            .cloned()
            .collect()
    }

    /// The books, by key.
    pub(crate) fn books(&self) -> serde_json::Map<String, Value> {
        let books: Value = serde_json::from_slice(&self.simulation.books().unwrap()).unwrap();
        books["keys"].as_object().unwrap().clone()
    }

    /// What took effect for an order, by step; fails if anything did more than once.
    pub(crate) fn effects(&self, order: &str) -> Vec<String> {
        let mut steps = Vec::new();
        for (key, page) in self.books() {
            assert_eq!(page["conflicts"], 0, "{key}: {page}");
            assert!(page["effects"].as_u64().unwrap() <= 1, "{key}: {page}");
            if let Some(step) = key.strip_prefix(&format!("{order}/"))
                && page["effects"] == 1
            {
                steps.push(step.to_owned());
            }
        }
        steps.sort();
        steps
    }
}

async fn between(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    let key = request.headers().get("idempotency-key");
    let key = key.map(|key: &HeaderValue| key.to_str().unwrap().to_owned());
    shared.asked.lock().unwrap().push(Asked {
        what: what.clone(),
        key,
    });
    let trouble = {
        let trouble = shared.trouble.lock().unwrap();
        trouble
            .iter()
            .find(|(begin, _)| what.starts_with(begin))
            .map(|(_, trouble)| trouble.clone())
    };
    let json = |value: Value| (StatusCode::CREATED, axum::Json(value)).into_response();
    match trouble {
        None => next.run(request).await,
        Some(Trouble::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Trouble::Hangs) => std::future::pending().await,
        Some(Trouble::Trickles) => {
            let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
            Body::from_stream(never).into_response()
        }
        Some(Trouble::Answers(value)) => json(value),
        Some(Trouble::Garbage) => "<h1>It works!</h1>".into_response(),
        Some(Trouble::Endless) => json(json!({ "id": "x".repeat(1 << 20) })),
        Some(Trouble::FailsAfterwards) => {
            next.run(request).await;
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Some(Trouble::Waits(permits)) => {
            permits.acquire().await.unwrap().forget();
            next.run(request).await
        }
    }
}
