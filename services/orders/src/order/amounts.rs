//! What an order costs: integers of minor units, never rounded up, never wrapped around.

use serde::{Deserialize, Serialize};

/// What an order costs, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// The sum over the items.
    pub subtotal: i64,
    /// What the promotion takes off: `subtotal × percentage / 100`, rounded down.
    pub discount: i64,
    /// What is left to pay.
    pub total: i64,
}

impl Amounts {
    /// Adds up lines of quantity and price, and takes `percentage` (0 to 100) off. `None` if a
    /// number on the way does not fit 64 bits.
    pub fn of(lines: impl IntoIterator<Item = (u32, i64)>, percentage: u8) -> Option<Self> {
        let subtotal = lines.into_iter().try_fold(0_i64, |sum, (qty, price)| {
            price.checked_mul(i64::from(qty))?.checked_add(sum)
        })?;
        // The product of a 64-bit subtotal and a percentage needs more than 64 bits.
        let discount = i128::from(subtotal) * i128::from(percentage) / 100;
        let discount = i64::try_from(discount).ok()?;
        let total = subtotal.checked_sub(discount)?;
        Some(Self {
            subtotal,
            discount,
            total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(lines: &[(u32, i64)], percentage: u8) -> Option<(i64, i64, i64)> {
        let amounts = Amounts::of(lines.iter().copied(), percentage)?;
        Some((amounts.subtotal, amounts.discount, amounts.total))
    }

    #[test]
    fn a_discount_is_rounded_down() {
        assert_eq!(of(&[(1, 1500)], 10), Some((1500, 150, 1350)));
        assert_eq!(of(&[(1, 99), (2, 50)], 33), Some((199, 65, 134)));
        assert_eq!(of(&[(1, 1)], 99), Some((1, 0, 1)));
        assert_eq!(of(&[(3, 7)], 0), Some((21, 0, 21)));
        assert_eq!(of(&[(3, 7)], 100), Some((21, 21, 0)));
    }

    #[test]
    fn the_largest_amount_can_be_discounted_and_one_more_is_refused() {
        let half = i64::MAX / 2;
        assert_eq!(of(&[(1, i64::MAX)], 100), Some((i64::MAX, i64::MAX, 0)));
        assert_eq!(of(&[(1, i64::MAX)], 50), Some((i64::MAX, half, half + 1)));
        assert_eq!(of(&[(1, i64::MAX), (1, 1)], 50), None);
        assert_eq!(of(&[(2, half + 1)], 0), None);
        assert_eq!(of(&[(1_000_000, i64::MAX)], 0), None);
    }

    proptest! {
        #[test]
        fn amounts_agree_with_arithmetic_that_cannot_overflow(
            lines in prop::collection::vec((1_u32..=1_000_000, 0_i64..), 1..20),
            percentage in 0_u8..=100,
            shift in 0_u32..63,
        ) {
            let lines: Vec<_> = lines.into_iter().map(|(qty, price)| (qty, price >> shift)).collect();
            let exact: i128 = lines.iter().map(|&(qty, price)| i128::from(qty) * i128::from(price)).sum();
            match Amounts::of(lines, percentage) {
                None => prop_assert!(exact > i128::from(i64::MAX)),
                Some(Amounts { subtotal, discount, total }) => {
                    prop_assert_eq!(i128::from(subtotal), exact);
                    let taken = exact * i128::from(percentage);
                    let discount = i128::from(discount);
                    prop_assert!(discount * 100 <= taken && taken < (discount + 1) * 100);
                    prop_assert_eq!(i128::from(total), exact - discount);
                    prop_assert!(total >= 0);
                }
            }
        }
    }
}
