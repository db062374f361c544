//! What every server answers beside its work, and the flags that change how orders are worked on.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::backends::Backends;
use crate::ordering::{customer_of, order};
use crate::process::{Griot, until};

async fn text(url: &str) -> String {
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    answer.text().await.unwrap()
}

#[tokio::test]
async fn the_backends_answer_for_themselves_as_every_server_does() {
    let backends = Backends::start("1ms", "0.0").await;
    let url = &backends.url;
    let _: Value = backends.get("/products/IT-001").await;
    assert_eq!(text(&format!("{url}/healthz")).await, "alive\n");
    assert_eq!(text(&format!("{url}/readyz")).await, "ready\n");
    let metrics = text(&format!("{url}/metrics")).await;
    let counted = "http_requests_total{method=\"GET\",route=\"/products/{id}\",status=\"200\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    let description: Value =
        serde_json::from_str(&text(&format!("{url}/openapi.json")).await).unwrap();
    assert!(description["paths"]["/payments"]["post"].is_object());
    let root: Value = serde_json::from_str(&text(&format!("{url}/")).await).unwrap();
    assert_eq!(root, description);
    let unknown = reqwest::get(format!("{url}/nowhere")).await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(
        unknown.headers()["content-type"],
        "application/problem+json"
    );
}

#[tokio::test]
async fn an_order_needs_attention_once_a_backend_kept_failing_for_as_long_as_was_said() {
    let data = TempDir::new().unwrap();
    let nobody = "http://127.0.0.1:9";
    let flags = ["--backends", nobody, "--backend-give-up-after", "200ms"];
    let mut griot = Griot::serve(data.path(), &flags);
    let mut customer = customer_of(&griot.ready().await);
    let placed = customer.place("given-up".to_owned(), order(0), None).await;
    let path = format!("/orders/{}", placed.id);
    let began = std::time::Instant::now();
    let stuck = until("it needs attention", async || {
        let order = customer.get(&path).await;
        (order["state"] == "needs_attention").then_some(order)
    })
    .await;
    assert!(began.elapsed() < Duration::from_mins(1));
    let reason = stuck["reason"].as_str().unwrap();
    assert!(reason.contains("refused"), "{reason}");
}
