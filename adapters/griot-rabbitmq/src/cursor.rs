//! How far a group has come in a log: facts that are never taken back. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a group has settled of a log.
///
/// Two cursors of a group never contradict each other, since what is settled stays settled. So
/// whoever knows both knows what either knows: [`merge`](Self::merge) asks neither for their order nor
/// whether one comes twice, and a member that was cut off can still tell what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Everything below is settled, but what is left.
    pub(crate) upto: u64,
    /// Offsets below that are not settled.
    pub(crate) left: BTreeSet<u64>,
}

impl Cursor {
    pub(crate) fn is_settled(&self, offset: u64) -> bool {
        offset < self.upto && !self.left.contains(&offset)
    }

    /// The lowest offset that is not settled.
    pub(crate) fn start(&self) -> u64 {
        self.left.first().copied().unwrap_or(self.upto)
    }

    /// Takes in what another knows.
    pub(crate) fn merge(&mut self, other: &Self) {
        let (farther, nearer) = if self.upto >= other.upto {
            (&*self, other)
        } else {
            (other, &*self)
        };
        let left = farther.left.iter().copied();
        *self = Self {
            upto: farther.upto,
            left: left.filter(|offset| !nearer.is_settled(*offset)).collect(),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(upto: u64, left: &[u64]) -> Cursor {
        Cursor {
            upto,
            left: left.iter().copied().collect(),
        }
    }

    fn any_cursor() -> impl Strategy<Value = Cursor> {
        let left = prop::collection::btree_set(0..40_u64, 0..8);
        (0..40_u64, left).prop_map(|(upto, left)| {
            let left = left.into_iter().filter(|offset| *offset < upto).collect();
            Cursor { upto, left }
        })
    }

    #[test]
    fn what_one_member_left_and_another_settled_is_settled() {
        let mut one = cursor(10, &[3, 7]);
        one.merge(&cursor(8, &[3]));
        assert_eq!(one, cursor(10, &[3]));
        one.merge(&cursor(12, &[3, 9, 11]));
        assert_eq!(one, cursor(12, &[3, 11]));
        assert_eq!(one.start(), 3);
        assert!(one.is_settled(9) && !one.is_settled(11) && !one.is_settled(12));
    }

    proptest! {
        #[test]
        fn a_merged_cursor_knows_what_either_knew_and_no_more(one in any_cursor(), other in any_cursor()) {
            let mut merged = one.clone();
            merged.merge(&other);
            for offset in 0..50 {
                let known = one.is_settled(offset) || other.is_settled(offset);
                prop_assert_eq!(merged.is_settled(offset), known, "{}", offset);
            }
            let mut swapped = other.clone();
            swapped.merge(&one);
            prop_assert_eq!(&merged, &swapped);
            let mut again = merged.clone();
            again.merge(&one);
            prop_assert_eq!(merged, again);
        }
    }
}
