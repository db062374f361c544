//! What is published: rounds of changes of status, and malformed messages.

use super::model::Model;
use crate::{AlarmStatusChanged, ChangedAt, SEND_ALARM_DIGEST, Status};
use jiff::Timestamp;
use jiff::tz::Offset;

/// Changes of one alarm, at most, before its first digest.
const CHANGES_MAX: usize = 6;

/// The parts of the test, each followed by a digest or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Alarms change, in random order, with repeats and old ones among them.
    Changes,
    /// Everything is repeated and confirmed: nothing is new.
    NothingNew,
    /// Half of the active alarms go away, the others get more or less severe.
    GoneAway,
    /// Those that went away come back.
    ComeBack,
    /// Every user has one alarm more, so that a digest too many before would show.
    OneMore,
}

impl Round {
    pub(super) const ALL: [Self; 5] = [
        Self::Changes,
        Self::NothingNew,
        Self::GoneAway,
        Self::ComeBack,
        Self::OneMore,
    ];

    /// Whether digests are asked for when its changes were heard.
    pub(super) fn asks(self) -> bool {
        self != Self::GoneAway
    }
}

/// Makes up what is published.
#[derive(Debug)]
pub(super) struct Script {
    alarms: usize,
    /// Nanoseconds since 1970 of the latest moment that was made up.
    latest: i128,
    random: fastrand::Rng,
}

impl Script {
    pub(super) fn new(alarms: usize) -> Self {
        Self {
            alarms,
            latest: Timestamp::now().as_nanosecond(),
            random: fastrand::Rng::new(),
        }
    }

    /// What is published about a user in a round. It comes to the same in any order.
    pub(super) fn changes(
        &mut self,
        round: Round,
        user: &str,
        model: &Model,
        before: &[AlarmStatusChanged],
    ) -> Vec<AlarmStatusChanged> {
        let mut changes: Vec<_> = self
            .statuses(round, model)
            .into_iter()
            .map(|(alarm_id, status)| AlarmStatusChanged {
                alarm_id,
                user_id: user.to_owned(),
                status,
                changed_at: self.later(),
            })
            .collect();

        // Repeats of these and of earlier ones.
        for _ in 0..=changes.len() / 3 {
            let place = self.random.usize(0..=before.len() + changes.len());
            let again = before.iter().chain(&changes).nth(place).cloned();
            changes.extend(again);
        }
        self.random.shuffle(&mut changes);
        changes
    }

    /// The alarms that change in a round, each later than the one before, and what they become.
    fn statuses(&mut self, round: Round, model: &Model) -> Vec<(String, Status)> {
        let known = model
            .alarms()
            .map(|(alarm, status)| (alarm.to_owned(), status));
        match round {
            Round::Changes => {
                let alarms = (1..=self.alarms).flat_map(|number| {
                    let changes = self.random.usize(1..=CHANGES_MAX);
                    std::iter::repeat_n(format!("alarm-{number}"), changes)
                });
                let alarms: Vec<_> = alarms.collect();
                let statuses = alarms.into_iter().map(|alarm| (alarm, self.status()));
                statuses.collect()
            }
            Round::NothingNew => known.collect(),
            Round::GoneAway => known
                .filter(|(_, status)| status.is_active())
                .enumerate()
                .map(|(place, (alarm, status))| match (place % 2, status) {
                    (0, _) => (alarm, Status::Cleared),
                    (_, Status::Critical) => (alarm, Status::Warning),
                    _ => (alarm, Status::Critical),
                })
                .collect(),
            Round::ComeBack => known
                .filter(|(_, status)| !status.is_active())
                .enumerate()
                .map(|(place, (alarm, _))| match place % 2 {
                    0 => (alarm, Status::Warning),
                    _ => (alarm, Status::Critical),
                })
                .collect(),
            Round::OneMore => vec![("one-more".to_owned(), Status::Warning)],
        }
    }

    fn status(&mut self) -> Status {
        match self.random.u8(0..3) {
            0 => Status::Cleared,
            1 => Status::Warning,
            _ => Status::Critical,
        }
    }

    /// A moment later than all before, in one of the ways to write it.
    #[expect(clippy::expect_used, reason = "what jiff prints is RFC 3339")]
    fn later(&mut self) -> ChangedAt {
        self.latest += i128::from(self.random.u64(1..3_000_000_000));
        let moment = Timestamp::from_nanosecond(self.latest).unwrap_or(Timestamp::MAX);
        let text = match self.random.u8(0..3) {
            0 => moment.to_string(),
            1 => format!("{moment:.9}"),
            _ => {
                let minutes = self.random.i32(-12 * 60..=14 * 60);
                let offset = Offset::from_seconds(minutes * 60).unwrap_or(Offset::UTC);
                format!("{:.9}", moment.display_with_offset(offset))
            }
        };
        text.parse().expect("RFC 3339")
    }
}

/// Payloads that no handler can read, of each topic.
pub(super) fn malformed(topic: &str, user: &str, number: usize) -> String {
    let changed = |alarm: &str, status: &str, at: &str| {
        format!(
            r#"{{"AlarmID":"{alarm}","UserID":"{user}","Status":"{status}","ChangedAt":"{at}"}}"#
        )
    };
    let noon = "2026-01-31T12:00:00Z";
    let payloads = match topic {
        SEND_ALARM_DIGEST => vec![
            "nonsense".to_owned(),
            "{}".to_owned(),
            r#"{"UserID":7}"#.to_owned(),
            r#"{"UserID":""}"#.to_owned(),
            format!(r#"["{user}"]"#),
        ],
        _ => vec![
            changed("malformed", "ON", noon),
            changed("malformed", "CRITICAL", "2026-01-31T12:00:00"),
            changed("malformed", "CRITICAL", "2026-01-31T12:00:00.1234567890Z"),
            changed("malformed", "CRITICAL", "2026-02-30T12:00:00Z"),
            changed("", "CRITICAL", noon),
            changed("malformed", "CRITICAL", noon).replace("AlarmID", "Alarm"),
            changed("malformed", "CRITICAL", noon).replace('}', ""),
        ],
    };
    let chosen = payloads.into_iter().cycle().nth(number);
    chosen.unwrap_or_default()
}
