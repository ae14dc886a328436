//! Whether two JSON numbers are the same number, whatever the number of their digits. Pure.

/// Whether two JSON numbers have the same value: `1.10` and `11e-1` have.
pub(super) fn is_same(left: &str, right: &str) -> bool {
    left == right || Decimal::read(left).is_some_and(|left| Decimal::read(right) == Some(left))
}

/// Digits without zeros at either end, and the power of ten of the last one.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
        let significant = significant.trim_start_matches('0');
        if significant.is_empty() {
            return Some(Self {
                is_negative,
                digits: String::new(),
                exponent: 0,
            });
        }
        let exponent = exponent
            .checked_sub(i64::try_from(fraction.len()).ok()?)?
            .checked_add(zeros)?;
        Some(Self {
            is_negative,
            digits: significant.to_owned(),
            exponent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_all_their_digits() {
        for (left, right) in [
            ("1.10", "1.1"),
            ("11e-1", "1.1"),
            ("1E+2", "100"),
            ("0.0", "0"),
            ("-5.0", "-5"),
        ] {
            assert!(is_same(left, right), "{left} {right}");
        }
        for (left, right) in [
            ("0.10000000000000000001", "0.1"),
            ("1", "-1"),
            ("1", "10"),
            ("1e400", "1e401"),
        ] {
            assert!(!is_same(left, right), "{left} {right}");
        }
    }
}
