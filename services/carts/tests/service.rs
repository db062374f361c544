//! The service over HTTP: what goes into carts and out, and the list of all items.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use griot::Griot;
use griot::journal::MemoryJournal;
use griot::sql::SqlTarget;
use griot_carts::{Carts, CartsConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

struct Service {
    carts: Carts,
    griot: Griot,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn seq(&self) -> &str {
        self.headers["griot-seq"].to_str().unwrap()
    }

    fn items(&self) -> &Vec<Value> {
        self.body["_embedded"]["items"]
            .as_array()
            .expect("an array")
    }
}

/// The service on a journal, with its table in a file.
async fn service_on(journal: &Arc<MemoryJournal>, directory: &Path) -> Service {
    let journal = Arc::clone(journal);
    let builder = Griot::builder(journal.clone(), journal);
    let griot = Carts::register(builder, &CartsConfig::default())
        .start()
        .await
        .unwrap();
    let file = directory.join("read-model.sqlite");
    let target = SqlTarget::open(file.to_str().unwrap(), Carts::tables())
        .await
        .unwrap();
    let config = CartsConfig {
        take_over_after: Duration::from_millis(50),
        ..CartsConfig::default()
    };
    let carts = Carts::start(griot.clone(), target, &config).await.unwrap();
    Service { carts, griot }
}

async fn service() -> (Service, TempDir) {
    let directory = TempDir::new().unwrap();
    let service = service_on(&Arc::new(MemoryJournal::new()), directory.path()).await;
    (service, directory)
}

impl Service {
    async fn say(&self, method: &str, path: &str, key: Option<&str>, body: &str) -> Answer {
        let app = griot::http::answer_with_problems(self.carts.router());
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.say("GET", path, None, "").await
    }

    async fn add(&self, cart: &str, name: &str) -> Answer {
        let body = json!({ "name": name }).to_string();
        self.say("POST", &format!("/carts/{cart}/items"), None, &body)
            .await
    }
}

#[tokio::test]
async fn items_go_into_a_cart_and_out_of_it() {
    let (service, _directory) = service().await;
    let milk = service.add("ann", "milk").await;
    assert_eq!((milk.status, milk.seq()), (200, "1"));
    assert_eq!(milk.body["seq"], 1);
    let id = milk.body["item_id"].as_str().unwrap();
    assert_eq!(id.len(), 26);
    let again = service.add("ann", "milk").await;
    assert_eq!(
        (again.status, &again.body["detail"]),
        (409, &json!("item already exists"))
    );
    assert_eq!(again.headers["content-type"], "application/problem+json");
    assert_eq!(service.add("bob", "milk").await.status, 200);
    service.add("ann", "bread").await;

    let cart = service.get("/carts/ann").await;
    assert_eq!((cart.status, &cart.body["seq"]), (200, &json!(2)));
    assert_eq!(cart.body["items"][0]["item_id"], id);
    assert_eq!(cart.body["items"][1]["name"], "bread");
    let before = service.get("/carts/ann?seq=1").await;
    assert_eq!(before.body["items"].as_array().unwrap().len(), 1);

    let path = format!("/carts/ann/items/{id}");
    let removed = service.say("DELETE", &path, None, "").await;
    assert_eq!((removed.status, removed.seq()), (204, "3"));
    assert_eq!(service.say("DELETE", &path, None, "").await.status, 404);
    let history = service.get("/carts/ann/history").await;
    let names: Vec<_> = history
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["event"])
        .collect();
    assert_eq!(names, ["ItemAdded", "ItemAdded", "ItemRemoved"]);
    assert_eq!(service.add("ann", "milk").await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let (service, _directory) = service().await;
    for (name, status) in [
        ("", 422),
        (&*"ü".repeat(256), 422),
        ("a\0b", 422),
        (&*"ü".repeat(255), 200),
    ] {
        let answer = service.add("ann", name).await;
        assert_eq!(answer.status, status, "{name}");
        if status == 422 {
            assert_eq!(answer.body["field"], "name");
        }
    }
    for (body, status) in [
        ("{", 400),
        ("{\"name\":7}", 422),
        ("{}", 422),
        ("{\"name\":\"a\",\"qty\":1}", 422),
    ] {
        assert_eq!(
            service
                .say("POST", "/carts/ann/items", None, body)
                .await
                .status,
            status,
            "{body}"
        );
    }
    for path in [
        "/carts/bob",
        "/carts/bob/history",
        "/carts/a%0Ab",
        "/carts/%FF",
        "/carts/ann/items",
        "/carts",
    ] {
        let status = service.get(path).await.status;
        assert!(
            status == 404 || (status == 405 && path.ends_with("items")),
            "{path}: {status}"
        );
    }
    for path in [
        "/carts/ann/items/x",
        "/carts/ann/items/01KAM5Y3T80001R7MM3CCGJ7HP",
    ] {
        assert_eq!(
            service.say("DELETE", path, None, "").await.status,
            404,
            "{path}"
        );
    }
    for (path, field) in [
        ("/items?limit=0", "limit"),
        ("/items?limit=1001", "limit"),
        ("/items?after=x", "after"),
        ("/items?wait_for=ann", "wait_for"),
        ("/items?wait_for=ann:x", "wait_for"),
    ] {
        let answer = service.get(path).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &json!(field)),
            "{path}"
        );
    }
    assert_eq!(service.get("/carts/ann").await.body["seq"], 1);
}

#[tokio::test]
async fn g3_a_repeated_request_with_a_key_gets_the_first_answer() {
    let (service, _directory) = service().await;
    let body = json!({ "name": "milk" }).to_string();
    let say = async |body: &str| {
        service
            .say("POST", "/carts/ann/items", Some("k"), body)
            .await
    };
    let first = say(&body).await;
    assert_eq!(first.status, 200);
    let second = say(&body).await;
    assert_eq!((second.status, &second.body), (200, &first.body));
    let other = say("{\"name\":\"bread\"}").await;
    assert_eq!(
        (other.status, &other.body["field"]),
        (422, &json!("Idempotency-Key"))
    );
    let path = format!(
        "/carts/ann/items/{}",
        first.body["item_id"].as_str().unwrap()
    );
    for _ in 0..2 {
        assert_eq!(
            service.say("DELETE", &path, Some("d"), "").await.status,
            204
        );
    }
    assert_eq!(service.get("/carts/ann").await.body["seq"], 2);
}

#[tokio::test]
async fn g7_the_list_shows_what_was_just_written_page_by_page_as_hal() {
    let (service, _directory) = service().await;
    let empty = service.get("/items").await;
    assert_eq!(empty.headers["content-type"], "application/hal+json");
    assert_eq!(empty.body["_embedded"], json!({ "items": [] }));
    assert_eq!(
        (&empty.body["count"], &empty.body["total"]),
        (&json!(0), &json!(0))
    );
    assert!(empty.body["_links"].get("next").is_none());
    for number in 0..7 {
        let added = service.add("a:b", &format!("item {number}")).await;
        let shown = service
            .get(&format!("/items?wait_for=a:b:{}", added.seq()))
            .await;
        assert_eq!(
            (shown.status, &shown.body["total"]),
            (200, &json!(number + 1))
        );
    }
    let mut path = "/items?limit=3".to_owned();
    let mut names = Vec::new();
    loop {
        let page = service.get(&path).await;
        assert_eq!(page.body["total"], 7);
        assert_eq!(page.body["count"], page.items().len());
        assert_eq!(page.body["_links"]["self"]["href"], path);
        names.extend(page.items().iter().map(|item| item["name"].clone()));
        let first = &page.items()[0];
        assert_eq!(
            (&first["cart"], &first["_links"]["cart"]["href"]),
            (&json!("a:b"), &json!("/carts/a:b"))
        );
        assert!(first["created_at"].as_str().unwrap().ends_with('Z'));
        match page.body["_links"]["next"]["href"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(
        names,
        (0..7)
            .map(|number| json!(format!("item {number}")))
            .collect::<Vec<_>>()
    );
    let id = service.get("/items").await.items()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let removed = service
        .say("DELETE", &format!("/carts/a:b/items/{id}"), None, "")
        .await;
    let shown = service
        .get(&format!("/items?wait_for=a:b:{}", removed.seq()))
        .await;
    assert_eq!(shown.body["total"], 6);
}

#[tokio::test]
async fn g7_the_list_goes_on_where_it_was_and_shows_everything_once() {
    let directory = TempDir::new().unwrap();
    let journal = Arc::new(MemoryJournal::new());
    for round in 1..=3 {
        let service = service_on(&journal, directory.path()).await;
        let ready = async { while service.carts.ready().await.is_err() {} };
        tokio::time::timeout(Duration::from_mins(1), ready)
            .await
            .unwrap();
        let mut last = String::new();
        for number in 0..20 {
            let added = service.add("ann", &format!("{round} {number}")).await;
            last = added.seq().to_owned();
        }
        if round == 2 {
            // Ends in the middle, as a crash would.
            drop(service);
            continue;
        }
        let shown = service.get(&format!("/items?wait_for=ann:{last}")).await;
        assert_eq!(shown.body["total"], round * 20);
        service.carts.drain(Duration::from_mins(1)).await;
        if round == 3 {
            assert!(service.griot.drain(Duration::from_mins(1)).await.in_time);
        }
    }
}

#[tokio::test]
async fn the_list_is_kept_again_by_an_instance_whose_rival_is_gone() {
    let directory = TempDir::new().unwrap();
    let journal = Arc::new(MemoryJournal::new());
    let first = service_on(&journal, directory.path()).await;
    first.add("ann", "milk").await;
    let second = service_on(&journal, directory.path()).await;
    second.add("ann", "bread").await;
    let listed = second.get("/items?wait_for=ann:2").await;
    assert_eq!(listed.items().len(), 2);
    drop(second);
    // The rival had the carts as well: what comes first finds that out, and says to come again.
    let adding = async { while first.add("ann", "salt").await.status != 200 {} };
    tokio::time::timeout(Duration::from_mins(1), adding)
        .await
        .unwrap();
    let listed = first.get("/items?wait_for=ann:3").await;
    assert_eq!(listed.status, 200);
    assert_eq!(listed.items().len(), 3);
}
