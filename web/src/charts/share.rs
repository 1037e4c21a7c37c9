//! Which share each part has of all: bars, since angles are hard to compare.

use super::{Chart, Kind, Series};

/// Most parts that are told apart; all others are one bar.
pub const SHARES_MAX: usize = 12;

/// The parts of a whole, counted in `counted`, as bars that are named with their shares; `others` is what is not
/// told apart.
#[must_use]
pub fn shares(title: &str, category: &str, counted: &str, told: Vec<(String, f64)>, others: f64) -> Chart {
    let total = told.iter().map(|(_, part)| part).sum::<f64>() + others;
    let parts: Vec<(String, f64)> =
        told.into_iter().chain((others > 0.0).then(|| ("all others".to_owned(), others))).collect();
    Chart {
        title: title.to_owned(),
        kind: Kind::Bars,
        category: category.to_owned().into(),
        names: parts.iter().map(|(name, part)| format!("{} {name}", percent(*part, total))).collect(),
        series: vec![Series { name: counted.to_owned(), values: parts.iter().map(|(_, part)| Some(*part)).collect() }],
    }
}

/// A share as people read it: what is more than nothing never is 0 %.
#[must_use]
pub fn percent(part: f64, total: f64) -> String {
    let share = if total > 0.0 { 100.0 * part / total } else { 0.0 };
    match share {
        share if part > 0.0 && share < 0.1 => "<0.1 %".to_owned(),
        share => format!("{share:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_apart_is_one_bar() {
        let told = vec![("high".to_owned(), 6.0), ("9".to_owned(), 1.0)];
        let figure = shares("t", "severity", "records", told, 1.0).figure();
        let names: Vec<&str> = figure.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["75.0 % high", "12.5 % 9", "12.5 % all others"]);
        assert_eq!(figure.rows[2].values, ["1"]);
    }

    #[test]
    fn shares_are_readable() {
        assert_eq!(percent(1.0, 3.0), "33.3 %");
        assert_eq!((percent(1.0, 1_000_000.0), percent(0.0, 0.0)), ("<0.1 %".to_owned(), "0.0 %".to_owned()));
    }
}
