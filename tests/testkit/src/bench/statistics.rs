//! Numbers of a report.

use std::{cmp::Ordering, time::Duration};

/// `a / b`, rounded.
#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of texts and histories are far below 2^52"
)]
pub(super) fn ratio(a: usize, b: usize) -> f64 {
    rounded(a as f64 / b as f64)
}

/// To three decimal places.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The upper median; the default value if there are no values.
pub(super) fn median<T: Copy + Default>(mut values: Vec<T>, order: impl FnMut(&T, &T) -> Ordering) -> T {
    values.sort_by(order);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
