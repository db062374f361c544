//! Which messages of a slice a group has acknowledged. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// All up to `through`, and the ranges above it, which neither touch it nor each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Acked {
    through: u64,
    /// First and last of each range.
    above: BTreeMap<u64, u64>,
}

impl Acked {
    pub(super) fn through(&self) -> u64 {
        self.through
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        let range = self.above.range(..=seq).next_back();
        seq <= self.through || range.is_some_and(|(_, &last)| seq <= last)
    }

    pub(super) fn add(&mut self, seq: u64) {
        if self.contains(seq) {
            return;
        }
        let (mut first, mut last) = (seq, seq);
        let before = self.above.range(..seq).next_back();
        if let Some((&start, &end)) = before
            && end + 1 == seq
        {
            first = start;
        }
        if let Some(end) = self.above.remove(&seq.saturating_add(1)) {
            last = end;
        }
        if first == self.through + 1 {
            self.above.remove(&first);
            self.through = last;
        } else {
            self.above.insert(first, last);
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let encoded = serde_json::to_vec(self);
        #[expect(clippy::expect_used, reason = "numbers under numbers are always JSON")]
        Bytes::from(encoded.expect("numbers are JSON"))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Acked;

    #[test]
    fn acknowledged_in_any_order_it_knows_exactly_those_and_ends_in_one_watermark() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut order: Vec<u64> = (1..=100).collect();
            random.shuffle(&mut order);
            let mut acked = Acked::default();
            let mut known = HashSet::new();
            for seq in order {
                acked.add(seq);
                known.insert(seq);
                let agrees = (1..=101).all(|seq| acked.contains(seq) == known.contains(&seq));
                assert!(agrees, "seed {seed}: {acked:?}");
                assert_eq!(Acked::decode(&acked.encode()).unwrap(), acked);
            }
            assert_eq!(acked.through(), 100);
            assert!(acked.above.is_empty());
        }
    }
}
