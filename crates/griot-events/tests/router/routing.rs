//! Which handler gets which event.

use griot_events::{Answer, Event, Router, State};
use tower::layer::layer_fn;
use tower::{Service, ServiceBuilder};

use crate::sample::{Sample, answer, dead_letter, publication, published, retry};

/// A handler that publishes its own name.
macro_rules! says {
    ($name:literal) => {
        || async { publication($name) }
    };
}

async fn handler_of(router: &Router, topic: &'static str, name: Option<&'static str>) -> String {
    let sample = Sample {
        topic,
        name,
        ..Sample::default()
    };
    published(answer(router, sample).await).topic
}

#[tokio::test]
async fn the_most_exact_topic_wins_whatever_the_order_of_registration() {
    let router = Router::new()
        .on(">", says!("all"))
        .on("orders.>", says!("orders and more"))
        .on("*.eu", says!("any in eu"))
        .on("orders.*", says!("one word"))
        .on("orders.eu", says!("exact"))
        .on("orders.eu.*", says!("two words"));
    for (topic, expected) in [
        ("orders.eu", "exact"),
        ("orders.us", "one word"),
        ("orders.eu.north", "two words"),
        ("orders.us.north", "orders and more"),
        ("bills.eu", "any in eu"),
        ("orders", "all"),
        ("bills", "all"),
    ] {
        assert_eq!(handler_of(&router, topic, None).await, expected, "{topic}");
    }
}

#[tokio::test]
async fn a_handler_of_a_name_comes_before_one_of_a_topic() {
    let router = Router::new()
        .on("orders", says!("the rest of orders"))
        .event("OrderPlaced", says!("placed anywhere"))
        .on_event("orders", "OrderPlaced", says!("placed in orders"))
        .on_event("orders.*", "OrderPaid", says!("paid below orders"));
    for (topic, name, expected) in [
        ("orders", Some("OrderPlaced"), "placed in orders"),
        ("others", Some("OrderPlaced"), "placed anywhere"),
        ("orders", Some("OrderPaid"), "the rest of orders"),
        ("orders", None, "the rest of orders"),
        ("orders.eu", Some("OrderPaid"), "paid below orders"),
    ] {
        let handler = handler_of(&router, topic, name).await;
        assert_eq!(handler, expected, "{topic} {name:?}");
    }
}

#[tokio::test]
async fn a_nested_router_lies_behind_its_prefix() {
    let stock = Router::new()
        .on("stock.*", says!("stock"))
        .event("Counted", says!("counted"))
        .fallback(says!("nested fallback"));
    let router = Router::new()
        .on("orders", says!("orders"))
        .nest("warehouse.eu", stock)
        .fallback(says!("fallback"));
    for (topic, name, expected) in [
        ("warehouse.eu.stock.1", None, "stock"),
        ("warehouse.eu", Some("Counted"), "counted"),
        ("warehouse.eu.any.topic", Some("Counted"), "counted"),
        ("warehouse.eu.any.topic", None, "nested fallback"),
        ("warehouse.us", Some("Counted"), "fallback"),
        ("stock.1", None, "fallback"),
        ("orders", None, "orders"),
    ] {
        let handler = handler_of(&router, topic, name).await;
        assert_eq!(handler, expected, "{topic} {name:?}");
    }
    assert_eq!(router.topics(), ["orders", "warehouse.eu.stock.*"]);
}

#[tokio::test]
async fn merged_routers_have_the_routes_of_both() {
    let router = Router::new().on("orders", says!("orders")).merge(
        Router::new()
            .on("bills", says!("bills"))
            .fallback(says!("fallback")),
    );
    for (topic, expected) in [("orders", "orders"), ("bills", "bills"), ("x", "fallback")] {
        assert_eq!(handler_of(&router, topic, None).await, expected);
    }
}

#[tokio::test]
async fn an_event_that_nobody_handles_is_a_dead_letter_that_says_so() {
    let router = Router::new().on("bills", says!("bills"));
    let sample = Sample {
        name: Some("OrderPlaced"),
        ..Sample::default()
    };
    let reason = "no handler for the event `OrderPlaced` of the topic `orders`";
    assert_eq!(answer(&router, sample).await, dead_letter(reason));
    let reason = "no handler for the topic `orders`";
    assert_eq!(
        answer(&router, Sample::default()).await,
        dead_letter(reason)
    );
}

#[tokio::test]
async fn a_dead_letter_that_a_pattern_brings_in_reaches_only_who_names_its_topic() {
    let router = Router::new()
        .on(">", says!("all"))
        .on("orders.*", says!("orders"))
        .on("orders.*.dead", says!("dead orders"))
        .event("OrderPlaced", says!("placed"))
        .fallback(says!("fallback"));
    let sample = Sample {
        topic: "orders.dead",
        name: Some("OrderPlaced"),
        ..Sample::default()
    };
    assert_eq!(answer(&router, sample).await, Answer::Ack);
    let handler = handler_of(&router, "orders.eu.dead", None).await;
    assert_eq!(handler, "dead orders");
}

#[tokio::test]
async fn a_dead_letter_that_was_subscribed_to_by_name_is_handled_like_any_other() {
    let router = Router::new()
        .on("orders", says!("orders"))
        .event("OrderPlaced", says!("placed"));
    let placed = handler_of(&router, "orders.dead", Some("OrderPlaced")).await;
    assert_eq!(placed, "placed");
    let router = router.fallback(says!("fallback"));
    assert_eq!(handler_of(&router, "orders.dead", None).await, "fallback");
}

#[test]
fn topics_are_those_with_a_route_each_once() {
    let router: Router = Router::new()
        .on("orders.>", says!("a"))
        .on_event("bills", "BillSent", says!("b"))
        .on_event("bills", "BillPaid", says!("c"))
        .event("OrderPlaced", says!("d"));
    assert_eq!(router.topics(), ["bills", "orders.>"]);
}

#[tokio::test]
async fn routers_of_different_states_become_one() {
    async fn number(State(number): State<u64>) -> griot_events::Publication {
        publication(&number.to_string())
    }
    async fn text(State(text): State<&'static str>) -> griot_events::Publication {
        publication(text)
    }
    let router = Router::new()
        .on("number", number)
        .with_state(7)
        .merge(Router::new().on("text", text).with_state("seven"));
    assert_eq!(handler_of(&router, "number", None).await, "7");
    assert_eq!(handler_of(&router, "text", None).await, "seven");
}

#[tokio::test]
async fn a_layer_is_around_the_routes_and_the_fallback_that_were_there() {
    // What stands around a route adds its mark to the reason.
    let mark = |mark: &'static str| {
        layer_fn(move |mut inner: griot_events::Route| {
            tower::service_fn(move |event: Event| {
                let answer = inner.call(event);
                async move {
                    let Ok(answer) = answer.await;
                    match answer {
                        Answer::DeadLetter { reason } => Err(format!("{mark}({reason})")),
                        other => Ok(other),
                    }
                }
            })
        })
    };
    let refuse = || async { griot_events::DeadLetter("no") };
    let router = Router::new()
        .on("before", refuse)
        .layer(mark("layer"))
        .on("after", refuse);
    let topic = |topic| Sample {
        topic,
        ..Sample::default()
    };
    assert_eq!(answer(&router, topic("before")).await, retry("layer(no)"));
    assert_eq!(answer(&router, topic("after")).await, dead_letter("no"));
    let nobody = "layer(no handler for the topic `other`)";
    assert_eq!(answer(&router, topic("other")).await, retry(nobody));
}

#[tokio::test(start_paused = true)]
async fn layers_of_tower_fit_and_their_errors_are_tried_again() {
    let never = std::future::pending::<()>;
    let router = Router::new()
        .on("orders", never)
        .layer(tower::timeout::TimeoutLayer::new(
            std::time::Duration::from_secs(1),
        ))
        .layer(tower::limit::GlobalConcurrencyLimitLayer::new(1));
    let both = tokio::join!(
        answer(&router, Sample::default()),
        answer(&router, Sample::default())
    );
    let late = retry("request timed out");
    assert_eq!(both, (late.clone(), late));
}

#[tokio::test]
async fn a_router_is_a_service_of_tower() {
    let router = Router::new().on("orders", || async {});
    let mut service = ServiceBuilder::new()
        .map_request(|topic| {
            Event::from(Sample {
                topic,
                ..Sample::default()
            })
        })
        .service(router);
    assert_eq!(service.call("orders").await, Ok(Answer::Ack));
}

#[test]
#[should_panic(expected = "the topic `orders.*` has a handler already: remove one of the two")]
fn two_handlers_of_one_topic_are_refused() {
    let _: Router = Router::new()
        .on("orders.*", || async {})
        .on("orders.*", || async {});
}

#[test]
#[should_panic(expected = "the event `Paid` of the topic `a.b` has a handler already")]
fn two_handlers_of_one_name_are_refused_also_from_a_nested_router() {
    let nested = Router::new().on_event("b", "Paid", || async {});
    let _: Router = Router::new()
        .on_event("a.b", "Paid", || async {})
        .nest("a", nested);
}

#[test]
#[should_panic(expected = "both routers have a fallback: remove one before merging them")]
fn two_fallbacks_are_refused() {
    let other = Router::new().fallback(|| async {});
    let _: Router = Router::new().fallback(|| async {}).merge(other);
}

#[test]
#[should_panic(expected = "the topic `orders..eu` has an empty word")]
fn a_topic_with_an_empty_word_is_refused() {
    let _: Router = Router::new().on("orders..eu", || async {});
}

#[test]
#[should_panic(expected = "in the topic `orders.e*` a wildcard stands within a word")]
fn a_wildcard_within_a_word_is_refused() {
    let _: Router = Router::new().on("orders.e*", || async {});
}

#[test]
#[should_panic(expected = "the topic `>.eu` goes on behind a `>`")]
fn a_topic_that_goes_on_behind_all_is_refused() {
    let _: Router = Router::new().on(">.eu", || async {});
}

#[test]
#[should_panic(expected = "the prefix `orders.>` ends with a `>`: nothing can be nested in it")]
fn a_prefix_of_all_is_refused() {
    let nested = Router::new().on("eu", || async {});
    let _: Router = Router::new().nest("orders.>", nested);
}

#[tokio::test]
async fn a_batch_for_a_handler_of_single_events_is_not_acknowledged_unseen() {
    let two = Event::batch([Sample::default().into(), Sample::default().into()]).unwrap();
    let router = Router::new().on("orders", async |_: Event| {});
    let refused = dead_letter("a batch for a handler of single events");
    assert_eq!(answer(&router, two.clone()).await, refused);
    let fallback = Router::new().fallback(async |_: Event| {});
    assert_eq!(answer(&fallback, two).await, refused);
}
