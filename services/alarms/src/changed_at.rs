//! When an alarm's status changed: a moment to the nanosecond, and the text that said so.

use jiff::civil::{DateTime, date};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Where the fraction of a second begins: behind `2026-01-31T12:00:00`.
const WHOLE_SECONDS: usize = 19;
const NANOSECONDS: i128 = 1_000_000_000;

/// A moment to the nanosecond, as RFC 3339 with up to 9 digits of a second's fraction.
///
/// Two are equal where they are the same moment, however it was written; the text comes back as it
/// was. A leap second counts as the second before it.
///
/// ```
/// use griot_alarms::ChangedAt;
///
/// let there: ChangedAt = "2026-01-31T14:00:00.120+02:00".parse()?;
/// let here: ChangedAt = "2026-01-31T12:00:00.12Z".parse()?;
/// assert_eq!(there, here);
/// assert_eq!(there.to_string(), "2026-01-31T14:00:00.120+02:00");
/// # Ok::<(), griot_alarms::NotAMoment>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChangedAt {
    text: String,
    /// Nanoseconds since 1970 began.
    nanos: i128,
}

/// A text that is not a [`ChangedAt`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a moment: write RFC 3339 with an offset and up to 9 digits of a fraction, as in 2026-01-31T12:00:00.123456789Z"
)]
pub struct NotAMoment(String);

impl ChangedAt {
    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Nanoseconds since 1970 began, by the grammar of RFC 3339, section 5.6.
fn nanos(text: &str) -> Option<i128> {
    let (_, rest) = text.split_at_checked(WHOLE_SECONDS)?;
    let fraction = rest.strip_prefix('.').map_or(0, |rest| {
        1 + rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    // A point without a digit, or with more than a nanosecond has.
    if fraction == 1 || fraction > 10 {
        return None;
    }
    let (civil, offset) = text.split_at_checked(WHOLE_SECONDS + fraction)?;
    if !has_shape(civil) {
        return None;
    }
    let civil: DateTime = civil.parse().ok()?;
    // Civil, because RFC 3339 reaches two days beyond the last moment that jiff has.
    let since = civil.duration_since(date(1970, 1, 1).at(0, 0, 0, 0));
    Some(since.as_nanos() - offset_seconds(offset)? * NANOSECONDS)
}

/// Whether it is written as RFC 3339 has it: the parser takes other forms of ISO 8601 as well.
fn has_shape(civil: &str) -> bool {
    let mut shape = "0000-00-00T00:00:00".bytes();
    let mut whole = civil.bytes().take(WHOLE_SECONDS);
    whole.all(|byte| match shape.next() {
        Some(b'0') => byte.is_ascii_digit(),
        expected => expected == Some(byte.to_ascii_uppercase()),
    })
}

fn offset_seconds(offset: &str) -> Option<i128> {
    let (sign, hours, minutes) = match offset.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', hours @ .., b':', m, n] => (1, hours, [*m, *n]),
        [b'-', hours @ .., b':', m, n] => (-1, hours, [*m, *n]),
        _ => return None,
    };
    let hours = two_digits(hours).filter(|hours| *hours < 24)?;
    let minutes = two_digits(&minutes).filter(|minutes| *minutes < 60)?;
    Some(sign * (hours * 3_600 + minutes * 60))
}

fn two_digits(digits: &[u8]) -> Option<i128> {
    match digits {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i128::from(tens - b'0') * 10 + i128::from(ones - b'0'))
        }
        _ => None,
    }
}

impl FromStr for ChangedAt {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for ChangedAt {
    type Error = NotAMoment;

    fn try_from(text: String) -> Result<Self, NotAMoment> {
        match nanos(&text) {
            Some(nanos) => Ok(Self { text, nanos }),
            None => Err(NotAMoment(text)),
        }
    }
}

impl From<ChangedAt> for String {
    fn from(changed_at: ChangedAt) -> Self {
        changed_at.text
    }
}

impl fmt::Display for ChangedAt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl PartialEq for ChangedAt {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for ChangedAt {}

impl PartialOrd for ChangedAt {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ChangedAt {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Hash for ChangedAt {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> ChangedAt {
        text.parse().unwrap()
    }

    #[test]
    fn moments_are_compared_to_the_nanosecond_and_across_offsets() {
        let moments = [
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999999Z",
            "1970-01-01T00:00:00Z",
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.000000001Z",
            "2026-01-31T12:00:00.1Z",
            "2026-01-31t23:59:00-00:59",
            "9999-12-31T23:59:59.999999999z",
            "9999-12-31T23:59:59.999999999-23:59",
        ];
        assert!(moments.map(at).is_sorted_by(|one, next| one < next));
        for (one, same) in [
            (
                "2026-01-31T12:00:00Z",
                "2026-01-31T12:00:00.000000000-00:00",
            ),
            ("2026-01-31T12:00:00Z", "2026-02-01T11:59:00+23:59"),
            ("2026-01-31T12:00:00.5Z", "2026-01-31T06:30:00.50-05:30"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ] {
            assert_eq!(at(one), at(same));
            assert_eq!(at(same).to_string(), same);
        }
    }

    #[test]
    fn nanoseconds_are_those_since_1970() {
        assert_eq!(at("1970-01-01T00:00:00.000000007Z").nanos, 7);
        let jiff: jiff::Timestamp = "2026-11-22T03:45:00.123456789Z".parse().unwrap();
        assert_eq!(
            at("2026-11-22T04:45:00.123456789+01:00").nanos,
            jiff.as_nanosecond()
        );
    }

    #[test]
    fn what_rfc_3339_does_not_have_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00Z",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00,5Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00.1234567890Z",
            "2026-01-31T12:00:00+01",
            "2026-01-31T12:00:00+0100",
            "2026-01-31T12:00:00+1:00",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00+01:60",
            "2026-01-31T12:00:00Z[Europe/Berlin]",
            "2026-01-31T12:00:00Z ",
            " 2026-01-31T12:00:00Z",
            "20260131T120000Z",
            "2026-W05-6T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:00:61Z",
            "+002026-01-31T12:00:00Z",
            "-0001-01-31T12:00:00Z",
            "2026-01-31T12:00:00ü",
            "2026-01-3ü",
        ] {
            let refused = text.parse::<ChangedAt>().unwrap_err();
            assert!(refused.to_string().contains("RFC 3339"), "{text}");
        }
    }
}
