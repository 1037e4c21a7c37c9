//! Numbers by two keys: a table with a row for each value of one and a column for each of the other, and sums.

use super::shown;
use crate::pages::text;

/// Most values of a side.
pub const SIDE_MAX: usize = 20;
/// Longest name at a side, in characters.
const NAME_CHARS: usize = 24;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    /// What it shows.
    pub title: String,
    /// What rows and columns are.
    pub caption: String,
    /// What a row is.
    pub corner: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<MatrixRow>,
    /// The sums of the columns.
    pub sums: Vec<String>,
    /// The sum of everything.
    pub total: String,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixRow {
    /// Its name.
    pub name: String,
    /// A number for each column, empty where it is 0.
    pub cells: Vec<String>,
    /// Their sum.
    pub sum: String,
}

impl Matrix {
    /// The numbers of at most [`SIDE_MAX`] `rows` and `columns`.
    #[must_use]
    pub fn new(rows: &[String], columns: &[String], number: impl Fn(&str, &str) -> f64) -> Self {
        let (rows, columns) = (&rows[..rows.len().min(SIDE_MAX)], &columns[..columns.len().min(SIDE_MAX)]);
        let row = |name: &String| -> Vec<f64> { columns.iter().map(|column| number(name, column)).collect() };
        let numbers: Vec<Vec<f64>> = rows.iter().map(row).collect();
        let sums: Vec<f64> = (0..columns.len()).map(|at| numbers.iter().map(|row| row[at]).sum()).collect();
        let name = |name: &String| text::line(name, NAME_CHARS);
        Self {
            columns: columns.iter().map(name).collect(),
            rows: rows.iter().zip(&numbers).map(|(of, row)| MatrixRow::new(name(of), row)).collect(),
            total: shown(Some(sums.iter().sum())),
            sums: sums.into_iter().map(|sum| shown(Some(sum))).collect(),
            ..Self::default()
        }
    }
}

impl MatrixRow {
    fn new(name: String, numbers: &[f64]) -> Self {
        let cell = |number: &f64| if *number == 0.0 { String::new() } else { shown(Some(*number)) };
        Self { name, cells: numbers.iter().map(cell).collect(), sum: shown(Some(numbers.iter().sum())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|at| at.to_string()).collect()
    }

    #[test]
    fn sums_are_at_the_sides() {
        let number = |row: &str, column: &str| match (row, column) {
            ("0", "0") => 1_000.0,
            ("0", "1") => 3.0,
            ("1", "1") => 2.5,
            _ => 0.0,
        };
        let matrix = Matrix::new(&names(2), &names(2), number);
        let rows: Vec<_> = matrix.rows.iter().map(|row| (row.cells.join("|"), row.sum.as_str())).collect();
        assert_eq!(rows, [("1,000|3".to_owned(), "1,003"), ("|2.5".to_owned(), "2.5")]);
        assert_eq!((matrix.sums.join("|").as_str(), matrix.total.as_str()), ("1,000|5.5", "1005.5"));
    }

    #[test]
    fn a_side_has_an_end() {
        let matrix = Matrix::new(&names(SIDE_MAX + 1), &names(SIDE_MAX + 1), |_, _| 1.0);
        assert_eq!((matrix.rows.len(), matrix.columns.len(), matrix.total.as_str()), (SIDE_MAX, SIDE_MAX, "400"));
    }
}
