//! Median and quartiles of what was measured several times.

/// The middle of some numbers, and between which two the middle half of them is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The quartiles: a quarter of the numbers is below the first, a quarter above the second.
    pub quartiles: [f64; 2],
}

impl Spread {
    /// Of `numbers` in any order; not a number when there is none.
    #[must_use]
    pub fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |quarter: usize| numbers.get(numbers.len() * quarter / 4).copied().unwrap_or(f64::NAN);
        Self { median: at(2), quartiles: [at(1), at(3)] }
    }
}

/// The least and the most of some numbers; not numbers when there is none.
#[must_use]
pub fn range(numbers: &[f64]) -> [f64; 2] {
    [numbers.iter().copied().fold(f64::NAN, f64::min), numbers.iter().copied().fold(f64::NAN, f64::max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_half_is_between_the_quartiles() {
        let spread = Spread::of((1..=9).rev().map(f64::from).collect());
        assert_eq!(spread, Spread { median: 5.0, quartiles: [3.0, 7.0] });
        assert_eq!(Spread::of(vec![2.0]), Spread { median: 2.0, quartiles: [2.0, 2.0] });
        assert!(Spread::of(Vec::new()).median.is_nan());
    }

    #[test]
    fn a_range_has_all() {
        let [least, most] = range(&[2.0, 1.0, 3.0]);
        assert!((least - 1.0).abs() < 1e-9 && (most - 3.0).abs() < 1e-9);
        assert!(range(&[])[0].is_nan());
    }
}
