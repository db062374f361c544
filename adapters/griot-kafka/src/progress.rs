//! How far a group has come in a partition, as it is stored beside the committed offset.

use std::collections::BTreeSet;

/// What was settled of a partition. Kafka keeps one offset for a group, the lowest that is not settled;
/// which of the later ones are settled stands in the text that it keeps beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// What is not settled, below `next`.
    pub(crate) unsettled: BTreeSet<i64>,
    /// Nothing from here on is settled.
    pub(crate) next: i64,
}

/// Begins the text, so that one of another program is not taken for ours.
const MARK: &str = "griot:";

/// Kafka refuses longer texts with its default `offset.metadata.max.bytes`, which is 4096.
const TEXT_MAX: usize = 4_000;

impl Progress {
    /// The offset to commit.
    pub(crate) fn offset(&self) -> i64 {
        self.unsettled.first().copied().unwrap_or(self.next)
    }

    /// Whether a message was settled.
    pub(crate) fn covers(&self, offset: i64) -> bool {
        offset < self.next && !self.unsettled.contains(&offset)
    }

    /// The text to commit: the distances from each unsettled offset to the one behind it, the last to
    /// `next`. Where that is too long, what does not fit counts as unsettled, and is given again.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let offsets: Vec<i64> = self.unsettled.iter().copied().chain([self.next]).collect();
        for (from, to) in offsets.iter().zip(offsets.iter().skip(1)) {
            let distance = format!("{}{}", if text.is_empty() { MARK } else { "," }, to - from);
            if text.len() + distance.len() > TEXT_MAX {
                break;
            }
            text.push_str(&distance);
        }
        text
    }

    /// What was committed.
    pub(crate) fn read(offset: i64, text: &str) -> Self {
        let mut progress = Self {
            unsettled: BTreeSet::new(),
            next: offset,
        };
        let Some(distances) = text.strip_prefix(MARK) else {
            return progress;
        };
        for distance in distances.split(',') {
            let distance = distance
                .parse::<i64>()
                .ok()
                .filter(|distance| *distance > 0);
            let Some(next) = distance.and_then(|distance| progress.next.checked_add(distance))
            else {
                // Not ours after all.
                return Self::read(offset, "");
            };
            progress.unsettled.insert(progress.next);
            progress.next = next;
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(unsettled: impl IntoIterator<Item = i64>, next: i64) -> Progress {
        Progress {
            unsettled: unsettled.into_iter().collect(),
            next,
        }
    }

    #[test]
    fn what_is_settled_beyond_the_lowest_unsettled_comes_back() {
        let saved = progress([10, 11, 15, 19], 20);
        assert_eq!(
            (saved.offset(), saved.text().as_str()),
            (10, "griot:1,4,4,1")
        );
        let read = Progress::read(10, &saved.text());
        assert_eq!(read, saved);
        let settled: Vec<i64> = (0..25).filter(|offset| read.covers(*offset)).collect();
        assert_eq!(
            settled,
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 16, 17, 18]
        );
    }

    #[test]
    fn where_all_is_settled_there_is_no_text() {
        let saved = progress([], 7);
        assert_eq!((saved.offset(), saved.text().as_str()), (7, ""));
        assert_eq!(Progress::read(7, ""), saved);
    }

    #[test]
    fn what_does_not_fit_counts_as_unsettled() {
        let saved = progress((0..10_000).map(|place| place * 2), 20_000);
        let text = saved.text();
        assert!(text.len() <= TEXT_MAX);
        let read = Progress::read(0, &text);
        assert!(read.next > 1_000 && read.next < 20_000);
        assert!((0..20_000).all(|offset| !read.covers(offset) || saved.covers(offset)));
    }

    #[test]
    fn the_text_of_another_program_says_nothing() {
        for text in [
            "consumer-1",
            "griot:",
            "griot:1,x",
            "griot:0",
            "griot:-4",
            "griot:9223372036854775807",
        ] {
            assert_eq!(Progress::read(5, text), progress([], 5), "{text}");
        }
    }
}
