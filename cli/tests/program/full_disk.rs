//! A disk that is full: nothing acknowledged is lost, and orders are taken again once there is
//! space.

use griot_testkit::SmallDisk;
use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::audit;
use crate::backends::Backends;
use crate::ordering::{Acknowledged, Customer, customer_of, order};
use crate::process::{Griot, until};

/// The log begins with 4 MiB and goes on with 32 MiB: room for the first beside what is kept free
/// for the second, and not for both while [`KEPT_BYTES`] are taken.
const DISK_MEBIBYTES: usize = 52;
const KEPT_BYTES: usize = 20 << 20;

/// How many orders come at once.
const AT_ONCE: u64 = 32;

/// Places orders from number `next` on until one is refused; gives what it was refused with.
async fn place_until_refused(
    customer: &Customer,
    next: &mut u64,
    acknowledged: &mut Vec<Acknowledged>,
) -> Vec<(StatusCode, serde_json::Value)> {
    loop {
        let mut asking = JoinSet::new();
        for number in *next..*next + AT_ONCE {
            let customer = customer.clone();
            asking.spawn(async move {
                let (key, body) = (format!("full-{number}"), order(number));
                let answer = customer.send(&key, &body, None).await;
                (key, body, answer)
            });
        }
        *next += AT_ONCE;
        let mut refused = Vec::new();
        for (key, body, answer) in asking.join_all().await {
            match answer.expect("an answer") {
                (StatusCode::ACCEPTED, answer) => {
                    let id = answer["id"].as_str().unwrap().to_owned();
                    acknowledged.push(Acknowledged { key, body, id });
                }
                refusal => refused.push(refusal),
            }
        }
        if !refused.is_empty() {
            return refused;
        }
    }
}

async fn readiness(url: &str) -> (StatusCode, String) {
    let answer = reqwest::get(format!("{url}/readyz")).await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_a_full_disk_loses_nothing_acknowledged_and_orders_are_taken_again_without_a_restart() {
    let Some(disk) = SmallDisk::mount(DISK_MEBIBYTES) else {
        return;
    };
    let data = disk.path().join("data");
    disk.fill(Some(KEPT_BYTES));
    let backends = Backends::start("1ms", "0.0").await;
    let mut griot = Griot::serve(&data, &["--backends", &backends.url]);
    let url = griot.ready().await;
    disk.fill(None);
    let mut customer = customer_of(&url);
    let mut acknowledged = Vec::new();

    let mut next = 0;
    // A smaller append may still find room after one that was refused, and all is well again.
    let said = until("it is not ready", async || {
        let refused = place_until_refused(&customer, &mut next, &mut acknowledged).await;
        for (status, answer) in &refused {
            assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
            assert_eq!(answer["status"], 503, "{answer}");
            assert!(answer["detail"].is_string(), "{answer}");
        }
        let (status, said) = readiness(&url).await;
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(said)
    })
    .await;
    assert!(!acknowledged.is_empty());
    assert!(said.contains("no space left"), "{said}");
    let taken = acknowledged.last().unwrap().id.clone();
    assert_eq!(customer.get(&format!("/orders/{taken}")).await["id"], taken);

    disk.free();
    let again = format!("again-{next}");
    let again = customer.place(again, order(next), None).await;
    customer.ended(&again.id).await;
    acknowledged.push(again);
    until("it is ready again", async || {
        (readiness(&url).await.0 == StatusCode::OK).then_some(())
    })
    .await;

    griot.kill();
    let mut griot = Griot::serve(&data, &["--backends", &backends.url]);
    let customer = customer_of(&griot.ready().await);
    let ends = audit::orders(&customer, &backends, &acknowledged).await;
    audit::books(&backends, &ends.orders).await;
    audit::same_key_same_answer(&customer, &acknowledged).await;
    println!(
        "{} orders taken on a disk that was full in between",
        acknowledged.len()
    );
}
