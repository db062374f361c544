//! A slice of a topic by name, and the patterns that topics are subscribed to by.

use std::sync::Arc;

use crate::Partition;

/// One slice of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slice {
    pub(super) topic: Arc<str>,
    pub(super) partition: Partition,
}

/// Whether a pattern means a topic: `*` stands for one word between dots, `>` at the end for one
/// word or more.
pub(super) fn admits(pattern: &str, topic: &str) -> bool {
    let mut words = topic.split('.');
    let mut parts = pattern.split('.');
    loop {
        match (parts.next(), words.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return parts.next().is_none(),
            (Some(part), Some(word)) if part == "*" || part == word => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::admits;

    #[test]
    fn a_star_stands_for_one_word_and_an_arrow_for_all_that_follow() {
        for (pattern, topic) in [
            ("orders", "orders"),
            ("orders.*", "orders.placed"),
            ("*.placed", "orders.placed"),
            ("orders.>", "orders.placed.eu"),
            (">", "orders"),
        ] {
            assert!(admits(pattern, topic), "{pattern} {topic}");
        }
        for (pattern, topic) in [
            ("orders", "orders.placed"),
            ("orders.*", "orders"),
            ("orders.*", "orders.placed.eu"),
            ("orders.>", "orders"),
            ("orders.>.eu", "orders.placed.eu"),
            ("order", "orders"),
        ] {
            assert!(!admits(pattern, topic), "{pattern} {topic}");
        }
    }
}
