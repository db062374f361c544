//! Comparisons with peers and floors, interleaved in one run.

/// The middle one of what was measured.
///
/// # Panics
///
/// If nothing was.
#[expect(clippy::indexing_slicing, reason = "its panic is documented")]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
