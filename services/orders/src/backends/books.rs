//! The books of the simulated backends: what was asked under each `Idempotency-Key`, how often,
//! and how often it took effect. A proof reads them to see that nothing was done twice.

use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many keys are kept. The oldest is forgotten for a new one, as real services expire keys;
/// the count of those forgotten is part of the books.
pub(super) const KEYS_MAX: usize = 200_000;

/// All effects by key, oldest first in `order`.
#[derive(Debug, Default)]
pub(super) struct Books {
    pages: HashMap<Arc<str>, Page>,
    order: VecDeque<Arc<str>>,
    forgotten: u64,
}

/// What is asked for under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// `invoice`, `void`, `payment`, or `merchant` or `customer` and the kind of notification.
    pub(super) what: String,
    /// The order or the invoice it is about.
    pub(super) subject: String,
    /// The money it is about.
    pub(super) amount: Option<i64>,
    /// A hash of the whole request.
    pub(super) fingerprint: u64,
}

/// One key.
#[derive(Debug, Serialize)]
struct Page {
    what: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    /// How often it was asked for.
    asked: u32,
    /// How often it took effect: at most once, or the key was not honoured.
    effects: u32,
    /// How often something else was asked for under this key.
    conflicts: u32,
    /// Whether it was declined.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    declined: bool,
    #[serde(skip)]
    fingerprint: u64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It took effect, now or before under the same key.
    Done,
    /// It was declined, now or before, and has no effect.
    Declined,
    /// The key was used for something else.
    Conflict,
}

/// Whether the backend is willing to do what is asked for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Will {
    Do,
    Decline,
}

impl Books {
    /// Does what is asked for unless it was done before under this key.
    pub(super) fn perform(&mut self, key: &str, asked: Asked, will: Will) -> Verdict {
        if let Some(page) = self.pages.get_mut(key) {
            page.asked = page.asked.saturating_add(1);
            if page.fingerprint != asked.fingerprint {
                page.conflicts = page.conflicts.saturating_add(1);
                return Verdict::Conflict;
            }
            return if page.declined {
                Verdict::Declined
            } else {
                Verdict::Done
            };
        }
        self.forget_oldest();
        let declined = will == Will::Decline;
        let key: Arc<str> = key.into();
        let page = Page {
            what: asked.what,
            subject: asked.subject,
            amount: asked.amount,
            asked: 1,
            effects: u32::from(!declined),
            conflicts: 0,
            declined,
            fingerprint: asked.fingerprint,
        };
        self.pages.insert(Arc::clone(&key), page);
        self.order.push_back(key);
        if declined {
            Verdict::Declined
        } else {
            Verdict::Done
        }
    }

    fn forget_oldest(&mut self) {
        if self.order.len() >= KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.pages.remove(&oldest);
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    /// `{"forgotten": n, "keys": {key: {what, subject, amount, asked, effects, conflicts}}}`.
    pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Document<'a> {
            forgotten: u64,
            keys: HashMap<&'a str, &'a Page>,
        }
        let keys = self
            .pages
            .iter()
            .map(|(key, page)| (&**key, page))
            .collect();
        serde_json::to_vec(&Document {
            forgotten: self.forgotten,
            keys,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fingerprint: u64) -> Asked {
        Asked {
            what: "payment".into(),
            subject: "INV-1".into(),
            amount: Some(5),
            fingerprint,
        }
    }

    #[test]
    fn a_key_has_one_effect_and_one_verdict() {
        let mut books = Books::default();
        assert_eq!(books.perform("k", asked(1), Will::Do), Verdict::Done);
        assert_eq!(books.perform("k", asked(1), Will::Decline), Verdict::Done);
        assert_eq!(books.perform("k", asked(2), Will::Do), Verdict::Conflict);
        assert_eq!(
            books.perform("d", asked(1), Will::Decline),
            Verdict::Declined
        );
        assert_eq!(books.perform("d", asked(1), Will::Do), Verdict::Declined);
        let json: serde_json::Value = serde_json::from_slice(&books.to_json().unwrap()).unwrap();
        let expected = serde_json::json!({"forgotten": 0, "keys": {
            "k": {"what": "payment", "subject": "INV-1", "amount": 5, "asked": 3, "effects": 1,
                  "conflicts": 1},
            "d": {"what": "payment", "subject": "INV-1", "amount": 5, "asked": 2, "effects": 0,
                  "conflicts": 0, "declined": true},
        }});
        assert_eq!(json, expected);
    }

    #[test]
    fn the_books_are_bounded_and_say_what_they_forgot() {
        let mut books = Books::default();
        for key in 0..KEYS_MAX + 3 {
            books.perform(&key.to_string(), asked(1), Will::Do);
        }
        assert_eq!(books.pages.len(), KEYS_MAX);
        assert_eq!(books.forgotten, 3);
        assert!(!books.pages.contains_key("2") && books.pages.contains_key("3"));
    }
}
