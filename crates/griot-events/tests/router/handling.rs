//! What handlers are given, and what they give.

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use griot_events::{
    Answer, Attempt, DeadLetter, Event, Failure, FromRef, Handler, Header, Headers, IntoAnswer,
    Json, Key, NamedHeader, Retry, Router, State, Topic,
};
use serde::Deserialize;

use crate::sample::{Sample, answer, dead_letter, publication, retry};

/// What a handler is given of an event, as text.
async fn given<T>(sample: Sample) -> Answer
where
    T: griot_events::FromEvent<u64> + Debug + Send + 'static,
{
    let show = |part: T| async move { publication(&format!("{part:?}")) };
    let router = Router::new().fallback(show).with_state(5);
    answer(&router, sample).await
}

fn shown(text: &str) -> Answer {
    Answer::Publish(vec![publication(text)])
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "it is shown")]
struct Order {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "it is shown")]
struct Item {
    quantity: u32,
}

#[derive(Debug)]
#[expect(dead_code, reason = "it is shown")]
struct Tenant(u8);

impl FromStr for Tenant {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl NamedHeader for Tenant {
    const NAME: &'static str = "tenant";
}

fn payload(payload: &'static [u8]) -> Sample {
    Sample {
        payload,
        ..Sample::default()
    }
}

fn key(key: Option<&'static [u8]>) -> Sample {
    Sample {
        key,
        ..Sample::default()
    }
}

fn tenant(value: &'static [u8]) -> Sample {
    Sample {
        headers: vec![("Tenant", value)],
        ..Sample::default()
    }
}

#[tokio::test]
async fn json_is_given_or_refused_with_the_field_that_is_wrong() {
    let json = given::<Json<Order>>;
    assert_eq!(
        json(payload(br#"{"items":[{"quantity":3}]}"#)).await,
        shown("Json(Order { items: [Item { quantity: 3 }] })")
    );
    for (wrong, reason) in [
        (
            &br#"{"items":[{"quantity":3},{"quantity":-1}]}"#[..],
            "the payload is wrong at `items[1].quantity`: invalid value: integer `-1`, expected u32 at line 1 column 39",
        ),
        (
            b"",
            "the payload is wrong: EOF while parsing a value at line 1 column 0",
        ),
        (
            br#"{"items":[]} more"#,
            "the payload is wrong: trailing characters at line 1 column 14",
        ),
    ] {
        assert_eq!(json(payload(wrong)).await, dead_letter(reason));
    }
}

#[tokio::test]
async fn optional_json_is_none_where_the_payload_is_empty_and_refused_where_it_is_wrong() {
    let json = given::<Option<Json<u64>>>;
    assert_eq!(json(payload(b"")).await, shown("None"));
    assert_eq!(json(payload(b"7")).await, shown("Some(Json(7))"));
    assert!(matches!(
        json(payload(b"x")).await,
        Answer::DeadLetter { .. }
    ));
}

#[tokio::test]
async fn a_key_is_parsed_or_refused() {
    assert_eq!(given::<Key<u64>>(key(Some(b"7"))).await, shown("Key(7)"));
    assert_eq!(
        given::<Key<String>>(key(Some(b"a"))).await,
        shown("Key(\"a\")")
    );
    for (wrong, reason) in [
        (None, "the event has no key"),
        (
            Some(&b"x"[..]),
            "the key is wrong, `x`: invalid digit found in string",
        ),
        (Some(b"\xff"), "the key is not text"),
    ] {
        assert_eq!(given::<Key<u64>>(key(wrong)).await, dead_letter(reason));
    }
    let optional = given::<Option<Key<u64>>>;
    assert_eq!(optional(key(None)).await, shown("None"));
    assert!(matches!(
        optional(key(Some(b"x"))).await,
        Answer::DeadLetter { .. }
    ));
}

#[tokio::test]
async fn a_header_is_parsed_or_refused() {
    let header = given::<Header<Tenant>>;
    assert_eq!(header(tenant(b"5")).await, shown("Header(Tenant(5))"));
    for (sample, reason) in [
        (Sample::default(), "the header `tenant` is missing"),
        (
            tenant(b"300"),
            "the header `tenant` is wrong, `300`: number too large to fit in target type",
        ),
        (tenant(b"\xff"), "the header `tenant` is not text"),
    ] {
        assert_eq!(header(sample).await, dead_letter(reason));
    }
    let optional = given::<Option<Header<Tenant>>>;
    assert_eq!(optional(Sample::default()).await, shown("None"));
}

#[tokio::test]
async fn a_result_leaves_it_to_the_handler_what_to_do_about_a_part_that_is_wrong() {
    assert_eq!(
        given::<Result<Key<u64>, Failure>>(key(None)).await,
        shown(r#"Err(DeadLetter { reason: "the event has no key" })"#)
    );
}

#[tokio::test]
async fn what_every_event_has_is_given() {
    let topic = Topic("orders".to_owned());
    assert_eq!(
        given::<Topic>(Sample::default()).await,
        shown(&format!("{topic:?}"))
    );
    assert_eq!(
        given::<Attempt>(Sample::default()).await,
        shown("Attempt(1)")
    );
    assert_eq!(given::<Bytes>(payload(b"raw")).await, shown(r#"b"raw""#));
    assert_eq!(
        given::<Headers>(tenant(b"5")).await,
        shown(r#"Headers([("Tenant", b"5")])"#)
    );
    assert_eq!(
        given::<State<u64>>(Sample::default()).await,
        shown("State(5)")
    );
}

#[tokio::test]
async fn a_handler_can_ask_for_a_part_of_the_state() {
    #[derive(Clone)]
    struct Shop {
        till: Arc<str>,
    }
    struct Till(Arc<str>);
    impl FromRef<Shop> for Till {
        fn from_ref(shop: &Shop) -> Self {
            Self(Arc::clone(&shop.till))
        }
    }
    let router = Router::new()
        .on(
            "orders",
            |State(Till(till))| async move { publication(&till) },
        )
        .with_state(Shop {
            till: "left".into(),
        });
    assert_eq!(answer(&router, Sample::default()).await, shown("left"));
}

#[tokio::test]
async fn functions_of_none_to_sixteen_extractors_are_handlers() {
    type A = Attempt;
    #[expect(clippy::too_many_arguments, reason = "that many are allowed")]
    async fn sixteen(
        _: A,
        _: A,
        _: A,
        _: A,
        _: A,
        _: A,
        _: A,
        _: A,
        _: Topic,
        _: Key<u8>,
        _: Bytes,
        _: Headers,
        _: State<()>,
        _: A,
        _: A,
        Attempt(n): A,
    ) -> griot_events::Publication {
        publication(&format!("sixteen {n}"))
    }
    async fn call<T>(handler: impl Handler<T, ()>) -> Answer {
        handler.call(Sample::default().into(), ()).await
    }
    assert_eq!(call(|| async {}).await, Answer::Ack);
    assert_eq!(call(|_: Event| async {}).await, Answer::Ack);
    assert_eq!(call(|_: Event, _: Topic| async {}).await, Answer::Ack);
    assert_eq!(call(sixteen).await, shown("sixteen 1"));
}

#[tokio::test]
async fn the_first_extractor_that_refuses_says_why_and_the_handler_is_not_called() {
    let never = |_: Attempt, _: Key<u8>, _: Json<u8>| async { unreachable!("it is not called") };
    let never = move |a, b, c| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(never(a, b, c))
    };
    let router = Router::new().fallback(never);
    assert_eq!(
        answer(&router, key(Some(b"x"))).await,
        dead_letter("the key is wrong, `x`: invalid digit found in string")
    );
}

#[test]
fn what_a_handler_gives_is_an_answer() {
    assert_eq!(().into_answer(), Answer::Ack);
    assert_eq!(Answer::Ack.into_answer(), Answer::Ack);
    assert_eq!(publication("a").into_answer(), shown("a"));
    let two = vec![publication("a"), publication("b")];
    assert_eq!(two.clone().into_answer(), Answer::Publish(two));
    assert_eq!(Vec::new().into_answer(), Answer::Ack);
    assert_eq!(None::<griot_events::Publication>.into_answer(), Answer::Ack);
    assert_eq!(Some(publication("a")).into_answer(), shown("a"));
    assert_eq!(Retry("busy").into_answer(), retry("busy"));
    assert_eq!(DeadLetter("wrong").into_answer(), dead_letter("wrong"));
}

#[test]
fn an_error_is_tried_again_unless_it_says_otherwise() {
    fn failing(how: u8) -> Result<(), Failure> {
        match how {
            0 => Err(DeadLetter("wrong"))?,
            1 => Err(Retry("busy"))?,
            2 => Err("text")?,
            _ => "x".parse::<u8>().map(drop)?,
        }
        Ok(())
    }
    assert_eq!(failing(0).into_answer(), dead_letter("wrong"));
    assert_eq!(failing(1).into_answer(), retry("busy"));
    assert_eq!(failing(2).into_answer(), retry("text"));
    assert_eq!(
        failing(3).into_answer(),
        retry("invalid digit found in string")
    );
    let plain: Result<(), std::fmt::Error> = Err(std::fmt::Error);
    let reason = std::fmt::Error.to_string();
    assert_eq!(plain.into_answer(), retry(&reason));
    let worded: Result<(), DeadLetter<&str>> = Err(DeadLetter("wrong"));
    assert_eq!(worded.into_answer(), dead_letter("wrong"));
}

#[cfg(feature = "protobuf")]
#[tokio::test]
async fn protobuf_is_given_or_refused() {
    use griot_events::Protobuf;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Placed {
        #[prost(uint64, tag = "1")]
        total: u64,
    }
    let message = given::<Protobuf<Placed>>;
    assert_eq!(
        message(payload(b"\x08\x07")).await,
        shown("Protobuf(Placed { total: 7 })")
    );
    let Answer::DeadLetter { reason } = message(payload(b"\x08")).await else {
        panic!("it was not refused")
    };
    assert!(reason.starts_with("the payload is wrong: "), "{reason}");
}
