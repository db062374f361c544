//! Whether each alarm that was raised is in exactly one digest, and whether the histories say the same.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::book::{Page, lines};
use super::stand::Stand;
use super::user::User;

/// What was found to be right.
#[derive(Debug, Default)]
pub(crate) struct Told {
    raised: usize,
    digests: usize,
    kept_twice: usize,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            raised,
            digests,
            kept_twice,
        } = self;
        write!(
            f,
            "{raised} alarms raised, each in exactly one of {digests} digests, as the histories say; \
             the broker keeps {kept_twice} digests twice, under one message id"
        )
    }
}

/// Waits until all is told, and looks at it.
///
/// # Panics
///
/// If an alarm is told never or twice, or a history says something else.
pub(crate) async fn all_told_once(stand: &Stand, users: Vec<User>) -> Told {
    let mut told = Told::default();
    for mut user in users {
        user.raise_until_all_is_told().await;
        // Digests of a user come in their order: one too many would come before this one.
        user.raise_until_all_is_told().await;
        let page = user.page();
        each_in_one_digest(&user.name, &page);
        histories_agree(stand, &user.name, &page).await;
        told.raised += page.raised.len();
        told.digests += page.digests.len();
        told.kept_twice += page.kept_twice();
    }
    told
}

fn each_in_one_digest(user: &str, page: &Page) {
    let mut told = BTreeSet::new();
    for digest in &page.digests {
        let alarms = lines(digest);
        assert!(!alarms.is_empty(), "{user}: a digest of nothing");
        let moments: Vec<_> = alarms.iter().map(|(_, at)| at).collect();
        assert!(
            moments.is_sorted(),
            "{user}: not the oldest first: {digest}"
        );
        for alarm in alarms {
            assert!(!told.contains(&alarm), "{user}: told again: {alarm:?}");
            told.insert(alarm);
        }
    }
    assert_eq!(told, page.raised, "{user}: told, and raised");
}

async fn histories_agree(stand: &Stand, user: &str, page: &Page) {
    let history = stand.get(&format!("/alarms/{user}/history")).await;
    let history = history.as_array().expect("an array");
    let (mut raised, mut digests) = (BTreeSet::new(), Vec::new());
    for (event, seq) in history.iter().zip(1_u64..) {
        assert_eq!(event["seq"], seq, "{user}: a gap before {event}");
        let data = &event["data"];
        if event["event"] == "DigestSent" {
            digests.push(data["ActiveAlarms"].clone());
        } else if event["event"] == "StatusChanged" && data["Status"] != "CLEARED" {
            let text = |name: &str| data[name].as_str().unwrap().to_owned();
            let is_new = raised.insert((text("AlarmID"), text("ChangedAt")));
            assert!(is_new, "{user}: heard again: {event}");
        }
    }
    assert_eq!(raised, page.raised, "{user}: heard, and raised");
    assert_eq!(digests, page.digests, "{user}: sent, and received");
    let now = stand.get(&format!("/alarms/{user}")).await;
    assert_eq!(now["Seq"], history.len(), "{user}");
    let alarms = now["Alarms"].as_array().expect("an array");
    let news: Vec<&Value> = alarms
        .iter()
        .filter(|alarm| alarm["InNextDigest"] != false)
        .collect();
    assert!(news.is_empty(), "{user}: not told, it says: {news:?}");
}
