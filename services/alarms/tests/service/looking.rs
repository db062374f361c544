//! What is known of a user, and how it came about, over HTTP.

use crate::service::{Service, Stand};
use serde_json::json;

/// A service that was told of Ann's alarms, and sent a digest.
async fn told() -> (Stand, Service) {
    let stand = Stand::embedded().await;
    let service = stand.service().await;
    let mut digests = stand.listen("AlarmDigest").await;
    stand
        .change("ann", "oven", "WARNING", "2026-01-31T12:00:00.5Z")
        .await;
    stand
        .change("ann", "door", "CLEARED", "2026-01-31T12:00:00Z")
        .await;
    stand.handled("ann").await;
    stand.ask("ann").await;
    digests.event().await;
    stand
        .change("ann", "oven", "WARNING", "2026-01-31T13:00:00.50+01:00")
        .await;
    stand
        .change("ann", "oven", "WARNING", "2026-01-31T13:00:01.50+01:00")
        .await;
    stand
        .change("ann", "roof", "CRITICAL", "2026-01-31T12:00:02Z")
        .await;
    stand.handled("ann").await;
    (stand, service)
}

#[tokio::test]
async fn what_is_known_of_a_user_can_be_seen_as_it_is_and_as_it_was() {
    let (_stand, service) = told().await;
    let answer = service.get("/alarms/ann").await;
    assert_eq!(answer.status, 200);
    let alarm = |id: &str, status: &str, at: &str, new: bool| json!({"AlarmID": id, "Status": status, "LatestChangedAt": at, "InNextDigest": new});
    let door = alarm("door", "CLEARED", "2026-01-31T12:00:00Z", false);
    let expected = json!({"UserID": "ann", "Seq": 5, "Alarms": [
        door,
        alarm("oven", "WARNING", "2026-01-31T13:00:01.50+01:00", false),
        alarm("roof", "CRITICAL", "2026-01-31T12:00:02Z", true),
    ]});
    assert_eq!(answer.body, expected);
    let before = json!({"UserID": "ann", "Seq": 2, "Alarms": [
        door,
        alarm("oven", "WARNING", "2026-01-31T12:00:00.5Z", true),
    ]});
    assert_eq!(service.get("/alarms/ann?seq=2").await.body, before);
    assert_eq!(service.get("/alarms/ann?seq=1000").await.body, expected);
    let later = "/alarms/ann?at=2100-01-01T00:00:00Z";
    assert_eq!(service.get(later).await.body, expected);
}

#[tokio::test]
async fn a_history_tells_how_what_is_known_came_about_page_by_page() {
    let (_stand, service) = told().await;
    let answer = service.get("/alarms/ann/history").await;
    assert_eq!(answer.status, 200);
    let events = answer.body.as_array().unwrap().clone();
    let names: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "StatusChanged",
            "StatusChanged",
            "DigestSent",
            "StatusConfirmed",
            "StatusChanged"
        ]
    );
    assert_eq!(events[0]["seq"], 1);
    assert!(events[0]["at"].as_str().unwrap().ends_with('Z'));
    let oven =
        json!({"AlarmID": "oven", "Status": "WARNING", "ChangedAt": "2026-01-31T12:00:00.5Z"});
    assert_eq!(events[0]["data"], oven);
    assert_eq!(events[2]["data"]["ActiveAlarms"][0]["AlarmID"], "oven");

    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = service.get(&format!("/alarms/ann/history{query}")).await;
        paged.extend(page.body.as_array().unwrap().clone());
        let Some(link) = page.headers.get("link") else {
            break;
        };
        let link = link.to_str().unwrap().strip_prefix('<').unwrap();
        query = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!(paged, events);
}

#[tokio::test]
async fn who_is_not_known_is_404_and_a_wrong_parameter_422_that_names_it() {
    let (_stand, service) = told().await;
    for path in [
        "/alarms/bob",
        "/alarms/bob/history",
        "/alarms/ann?seq=0",
        "/alarms/ann?at=2001-01-01T00:00:00Z",
        "/alarms/a%0Ab",
        "/alarms/%FF",
        "/alarms/a%0Ab/history",
        &format!("/alarms/{}", "x".repeat(1_025)),
        "/alarms/",
        "/alarms",
    ] {
        let answer = service.get(path).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (404, &json!(404)),
            "{path}"
        );
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    for (path, field) in [
        ("/alarms/ann?seq=x", "seq"),
        ("/alarms/ann?seq=-1", "seq"),
        ("/alarms/ann?at=noon", "at"),
        ("/alarms/ann?seq=1&at=2026-01-31T12:00:00Z", "at"),
        ("/alarms/ann/history?limit=0", "limit"),
        ("/alarms/ann/history?limit=10001", "limit"),
        ("/alarms/ann/history?after=x", "after"),
    ] {
        let answer = service.get(path).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &json!(field)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_user_can_be_looked_at_whatever_the_id() {
    let stand = Stand::embedded().await;
    let service = stand.service().await;
    stand
        .change("a/b ü", "oven", "WARNING", "2026-01-31T12:00:00Z")
        .await;
    stand.handled("a/b ü").await;
    let answer = service.get("/alarms/a%2Fb%20%C3%BC").await;
    assert_eq!(
        (answer.status, &answer.body["UserID"]),
        (200, &json!("a/b ü"))
    );
}
