//! Orders are looked at: as they are, as they were, and in lists.

use crate::service::{Service, fresh, order, order_with, until};
use serde_json::{Value, json};

#[tokio::test]
async fn a_history_tells_how_an_order_got_where_it_is() {
    let (service, _backend, _directory) = fresh().await;
    let order = service.ended(&order()).await;
    let id = order["id"].as_str().unwrap();
    let mut events = service.history(id).await;
    assert_eq!(
        events.len(),
        usize::try_from(order["seq"].as_u64().unwrap()).unwrap()
    );
    assert_eq!(
        (events.remove(0), events.pop().unwrap()),
        ("OrderPlaced".into(), "OrderCompleted".into())
    );
    let place = |name| events.iter().position(|event| event == name).unwrap();
    assert!(place("OrderPriced") < place("InvoiceIssued"));
    assert!(place("InvoiceIssued") < place("OrderPaid"));
    let count = |name| events.iter().filter(|event| *event == name).count();
    assert_eq!((count("ProductFetched"), count("PartyNotified")), (2, 4));
    let history = service.get(&format!("/orders/{id}/history")).await.body;
    let first = &history[0];
    assert_eq!(
        (&first["seq"], &first["at"]),
        (&json!(1), &order["placed_at"])
    );
    assert_eq!(
        first["data"]["items"],
        json!([{"id": "IT-001", "qty": 1}, {"id": "IT-002", "qty": 2}])
    );
}

#[tokio::test]
async fn an_order_can_be_seen_as_it_was_after_any_event_and_at_any_time() {
    let (service, _backend, _directory) = fresh().await;
    let order = service.ended(&order()).await;
    let path = format!("/orders/{}", order["id"].as_str().unwrap());
    let history = service.get(&format!("{path}/history")).await.body;
    let history = history.as_array().unwrap();
    let mut last = json!(null);
    for event in history {
        let as_it_was = service
            .get(&format!("{path}?seq={}", event["seq"]))
            .await
            .body;
        assert_eq!(as_it_was["seq"], event["seq"]);
        let expected = match event["event"].as_str().unwrap() {
            "OrderPlaced" => json!("placed"),
            "OrderPriced" => json!("priced"),
            "InvoiceIssued" => json!("invoiced"),
            "OrderPaid" => json!("paid"),
            "OrderCompleted" => json!("completed"),
            _ => last,
        };
        assert_eq!(as_it_was["state"], expected);
        last = expected;
    }
    assert_eq!(service.get(&format!("{path}?seq=0")).await.status, 404);
    let later = service.get(&format!("{path}?seq=1000000")).await;
    assert_eq!(later.body, order);
    let before = service
        .get(&format!("{path}?at=2001-01-01T00:00:00Z"))
        .await;
    assert_eq!(before.status, 404);
    for now in [
        "2100-01-01T00:00:00Z",
        "2100-01-01T02:00:00+02:00",
        "2100-01-01T02:00:00%2B02:00",
    ] {
        assert_eq!(service.get(&format!("{path}?at={now}")).await.body, order);
    }
    let placed = history[0]["at"].as_str().unwrap();
    let then = service.get(&format!("{path}?at={placed}")).await.body;
    assert!(then["seq"].as_u64().unwrap() >= 1);
    let state = service.get(&format!("{path}?seq=&at=")).await.body["state"].clone();
    assert_eq!(state, "completed");
}

async fn ids(service: &Service, path: &str) -> Vec<String> {
    let answer = service.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let orders = answer.body.as_array().unwrap();
    orders
        .iter()
        .map(|order| order["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn orders_are_listed_newest_first_by_state_customer_and_merchant() {
    let (service, _backend, _directory) = fresh().await;
    let mut placed = Vec::new();
    for (customer, payment) in [
        ("A", "CARD"),
        ("B", "CARD"),
        ("A", "CARD-BAD"),
        ("MISSING", "CARD"),
    ] {
        let mut order = order_with("/customer", json!(customer));
        order["payment"] = json!(payment);
        placed.push(
            service.ended(&order).await["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    until("all are listed as ended", || async {
        let states = ["completed", "cancelled", "rejected"];
        let mut listed = 0;
        for state in states {
            listed += ids(&service, &format!("/orders?state={state}")).await.len();
        }
        listed == 4
    })
    .await;
    let newest_first = |numbers: &[usize]| -> Vec<String> {
        numbers
            .iter()
            .map(|&number| placed[number].clone())
            .collect()
    };
    assert_eq!(ids(&service, "/orders").await, newest_first(&[3, 2, 1, 0]));
    assert_eq!(
        ids(&service, "/orders?state=&customer=&limit=&after=")
            .await
            .len(),
        4
    );
    assert_eq!(
        ids(&service, "/orders?customer=A").await,
        newest_first(&[2, 0])
    );
    assert_eq!(
        ids(&service, "/orders?customer=A&state=completed").await,
        newest_first(&[0])
    );
    assert_eq!(
        ids(&service, "/orders?state=rejected").await,
        newest_first(&[3])
    );
    assert_eq!(ids(&service, "/orders?merchant=MRCN-001").await.len(), 4);
    assert_eq!(ids(&service, "/orders?merchant=nobody").await.len(), 0);
    let body = service.get("/orders?customer=B").await.body;
    let whole = service.get(&format!("/orders/{}", placed[1])).await.body;
    for member in [
        "id",
        "state",
        "placed_at",
        "seq",
        "customer",
        "merchant",
        "total",
    ] {
        assert_eq!(body[0][member], whole[member], "{member}");
    }
}

#[tokio::test]
async fn a_list_goes_on_page_by_page_along_its_links() {
    let (service, _backend, _directory) = fresh().await;
    let mut placed = Vec::new();
    for _ in 0..7 {
        placed.push(
            service
                .placed(&order_with("/customer", json!("C&D é")))
                .await,
        );
    }
    placed.reverse();
    until("all are listed", || async {
        ids(&service, "/orders").await.len() == 7
    })
    .await;
    let mut listed = Vec::new();
    let mut next = Some("/orders?limit=3&customer=C%26D%20%C3%A9".to_owned());
    while let Some(path) = next {
        let answer = service.get(&path).await;
        let orders: Vec<Value> = answer.body.as_array().unwrap().clone();
        listed.extend(
            orders
                .iter()
                .map(|order| order["id"].as_str().unwrap().to_owned()),
        );
        next = answer.header("link").map(|link| {
            link.strip_prefix('<')
                .unwrap()
                .strip_suffix(">; rel=\"next\"")
                .unwrap()
                .to_owned()
        });
    }
    assert_eq!(listed, placed);
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let (service, _backend, _directory) = fresh().await;
    let page = service.get("/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    let html = page.body.as_str().unwrap();
    for elsewhere in [
        "http://",
        "https://",
        "src=",
        "@import",
        "url(",
        "innerHTML",
    ] {
        assert!(!html.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test]
async fn an_order_is_listed_as_soon_as_it_is_acknowledged() {
    let (service, _backend, _directory) = fresh().await;
    for _ in 0..20 {
        let id = service.placed(&order()).await;
        let newest = service.get("/orders?limit=1").await;
        assert_eq!(newest.body[0]["id"], id.as_str());
    }
}
