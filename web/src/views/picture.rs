//! What a view shows of the rows of an answer: a chart with its table, a matrix, or the rows themselves.

use std::collections::HashMap;

use chrono::DateTime;
use telemetrics_analytics::questions::trends::Interval;
use telemetrics_analytics::{Error, build_order};
use telemetrics_schema::TimestampUs;

use super::cells::{Answer, Cell, Names};
use super::columns::{Columns, Order, Shape};
use crate::charts::matrix::{Matrix, SIDE_MAX};
use crate::charts::share::{SHARES_MAX, shares};
use crate::charts::{CATEGORIES_MAX, CELLS_MAX, Chart, Figure, Kind, SERIES_MAX, Series};
use crate::pages::text;

/// Most bytes of HTML that the cells of a table take.
const TABLE_BYTES_MAX: usize = 60_000;
/// What a cell takes beside its text, in bytes.
const CELL_BYTES: usize = 50;
/// Longest name of a column that is shown, in characters.
const NAME_CHARS: usize = 60;
/// What stands where there is no value.
const NOTHING: &str = "-";

/// What a view shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The numbers.
    pub picture: Picture,
    /// What it leaves out, a sentence each.
    pub notes: Vec<String>,
}

/// The numbers of a view.
#[derive(Debug, Clone, PartialEq)]
pub enum Picture {
    /// A chart.
    Figure(Figure),
    /// A matrix.
    Matrix(Matrix),
    /// Rows.
    Table(Table),
}

/// Rows as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The names of the columns.
    pub names: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Shown {
    /// Draws `answer` as `shape` says.
    ///
    /// # Errors
    /// [`Error::Internal`] when the answer lacks a column.
    pub fn new(title: &str, shape: &Shape, answer: &Answer) -> Result<Self, Error> {
        match shape {
            Shape::Table => Ok(table(answer)),
            Shape::Chart(kind, columns) => Ok(chart(title, *kind, columns, &Grid::read(columns, answer)?)),
            Shape::Share(columns) => Ok(share(title, columns, &Grid::read(columns, answer)?)),
            Shape::Matrix(columns) => Ok(matrix(title, columns, &Grid::read(columns, answer)?)),
        }
    }
}

fn table(answer: &Answer) -> Shown {
    let mut left_bytes = TABLE_BYTES_MAX;
    let mut rows = Vec::new();
    for row in &answer.rows {
        let row: Vec<String> = row.iter().map(|cell| text::line(&name(cell), super::CELL_CHARS)).collect();
        let cost_bytes: usize = row.iter().map(|cell| CELL_BYTES + text::html_bytes(cell)).sum();
        let Some(left) = left_bytes.checked_sub(cost_bytes) else { break };
        left_bytes = left;
        rows.push(row);
    }
    let is_cut = answer.has_more || rows.len() < answer.rows.len();
    let notes = is_cut.then(|| format!("The first {} rows are shown; the files have all of them.", rows.len()));
    let names = answer.names.iter().map(|name| text::line(name, NAME_CHARS)).collect();
    Shown { picture: Picture::Table(Table { names, rows }), notes: notes.into_iter().collect() }
}

fn chart(title: &str, kind: Kind, columns: &Columns, grid: &Grid) -> Shown {
    let series: Vec<&String> = grid.series.names.iter().take(SERIES_MAX).collect();
    let most = CATEGORIES_MAX.min(CELLS_MAX / series.len().max(1));
    let labels = grid.labels(columns.order, most);
    // Where a line has no row, nothing is known, unless what is counted by time did not happen.
    let absent = (kind != Kind::Lines || matches!(columns.order, Order::Every(_))).then_some(0.0);
    let drawn = Chart {
        title: title.to_owned(),
        kind,
        category: text::line(&columns.label, NAME_CHARS).into(),
        series: series
            .iter()
            .map(|of| Series {
                name: (*of).clone(),
                values: labels.iter().map(|label| grid.number(label, of, absent)).collect(),
            })
            .collect(),
        names: labels,
    };
    let of_labels = note(drawn.names.len(), grid.count(columns.order), &columns.label, columns.order);
    let of_series =
        note(series.len(), grid.series.names.len(), columns.series.as_deref().unwrap_or_default(), Order::Rows);
    let notes = of_labels.into_iter().chain(of_series).collect();
    Shown { picture: Picture::Figure(drawn.figure()), notes }
}

fn share(title: &str, columns: &Columns, grid: &Grid) -> Shown {
    let counted = columns.values.first().map_or("", String::as_str);
    let part = |label: &String| grid.number(label, counted, None).unwrap_or_default().max(0.0);
    let labels = grid.labels(columns.order, grid.labels.names.len());
    let (told, others) = labels.split_at(labels.len().min(SHARES_MAX));
    let told = told.iter().map(|label| (label.clone(), part(label))).collect();
    let category = text::line(&columns.label, NAME_CHARS);
    let drawn = shares(title, &category, counted, told, others.iter().map(part).sum());
    Shown { picture: Picture::Figure(drawn.figure()), notes: Vec::new() }
}

fn matrix(title: &str, columns: &Columns, grid: &Grid) -> Shown {
    let rows = kept(grid.labels.names.clone(), columns.order, SIDE_MAX);
    let sides = kept(grid.series.names.clone(), columns.order, SIDE_MAX);
    let series = columns.series.as_deref().unwrap_or_default();
    let number = |row: &str, column: &str| grid.number(row, column, None).unwrap_or_default();
    let drawn = Matrix {
        title: title.to_owned(),
        caption: text::line(&format!("{} (rows) and {series} (columns)", columns.label), 2 * NAME_CHARS),
        corner: text::line(&columns.label, NAME_CHARS),
        ..Matrix::new(&rows, &sides, number)
    };
    let of_rows = note(rows.len(), grid.labels.names.len(), &columns.label, columns.order);
    let of_columns = note(sides.len(), grid.series.names.len(), series, columns.order);
    Shown { picture: Picture::Matrix(drawn), notes: of_rows.into_iter().chain(of_columns).collect() }
}

fn note(shown: usize, all: usize, of: &str, order: Order) -> Option<String> {
    let which = if order == Order::Rows { "first" } else { "newest" };
    (all > shown).then(|| format!("The {which} {shown} of {all} values of {} are shown.", text::line(of, NAME_CHARS)))
}

/// The numbers of an answer by category and series.
#[derive(Debug, Default)]
struct Grid {
    labels: Names,
    series: Names,
    /// Several rows of one category and series are added up; `None` where all of them are missing.
    numbers: HashMap<(usize, usize), Option<f64>>,
    /// The first and the last category, where they are lengths of time.
    span: Option<(TimestampUs, TimestampUs)>,
}

impl Grid {
    fn read(columns: &Columns, answer: &Answer) -> Result<Self, Error> {
        let place = |name: &String| {
            answer.column(name).ok_or_else(|| Error::Internal(format!("an answer without the column {name}")))
        };
        let (label, series) = (place(&columns.label)?, columns.series.as_ref().map(place).transpose()?);
        let values = columns.values.iter().map(|name| Ok((name.as_str(), place(name)?)));
        let values = values.collect::<Result<Vec<_>, Error>>()?;
        let mut grid = Self::default();
        if series.is_none() {
            for name in &columns.values {
                grid.series.place(name);
            }
        }
        for row in &answer.rows {
            let Some(label) = grid.label(columns.order, &row[label]) else { continue };
            for (value, at) in &values {
                let series = series.map_or_else(|| (*value).to_owned(), |series| name(&row[series]));
                grid.add(&label, &series, row[*at].number);
            }
        }
        Ok(grid)
    }

    /// The category of a row; `None` for a row without a time where they are lengths of time.
    fn label(&mut self, order: Order, cell: &Cell) -> Option<String> {
        let Order::Every(every) = order else { return Some(name(cell)) };
        let begin = every.begin(cell.instant?);
        let (first, last) = self.span.unwrap_or((begin, begin));
        self.span = Some((first.min(begin), last.max(begin)));
        Some(name_of(every, begin))
    }

    fn add(&mut self, label: &str, series: &str, number: Option<f64>) {
        let key = (self.labels.place(label), self.series.place(series));
        let sum = self.numbers.entry(key).or_default();
        *sum = match (*sum, number) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }

    /// The number there, `absent` without a row.
    fn number(&self, label: &str, series: &str, absent: Option<f64>) -> Option<f64> {
        let key = self.labels.find(label).zip(self.series.find(series));
        key.and_then(|key| self.numbers.get(&key)).map_or(absent, |number| *number)
    }

    /// At most so many categories, in their order.
    fn labels(&self, order: Order, most: usize) -> Vec<String> {
        let (Order::Every(every), Some((first, last))) = (order, self.span) else {
            return kept(self.labels.names.clone(), order, most);
        };
        let back = std::iter::successors(Some(last), |begin| begin.0.checked_sub(every.length_us()).map(TimestampUs));
        let mut begins: Vec<TimestampUs> = back.take_while(|begin| *begin >= first).take(most).collect();
        begins.reverse();
        begins.into_iter().map(|begin| name_of(every, begin)).collect()
    }

    /// How many categories there are.
    fn count(&self, order: Order) -> usize {
        match (order, self.span) {
            (Order::Every(every), Some((first, last))) => {
                let between = (i128::from(last.0) - i128::from(first.0)) / i128::from(every.length_us());
                usize::try_from(between + 1).unwrap_or(usize::MAX)
            }
            _ => self.labels.names.len(),
        }
    }
}

/// At most so many names: the first ones, or the newest versions, older ones before newer ones.
fn kept(mut names: Vec<String>, order: Order, most: usize) -> Vec<String> {
    if order == Order::Version {
        names.sort_by(|a, b| build_order(a, b));
        return names.split_off(names.len().saturating_sub(most));
    }
    names.truncate(most);
    names
}

fn name(cell: &Cell) -> String {
    cell.text.clone().unwrap_or_else(|| NOTHING.to_owned())
}

/// What the length of time is called that begins then.
fn name_of(every: Interval, begin: TimestampUs) -> String {
    let Some(time) = DateTime::from_timestamp_micros(begin.0) else { return begin.0.to_string() };
    let format = match every {
        Interval::Hour => "%Y-%m-%d %H:00",
        Interval::Day => "%Y-%m-%d",
        Interval::Week => "%G-W%V",
    };
    time.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> Cell {
        let text = (text != "NULL").then(|| text.to_owned());
        let instant = text.as_deref().and_then(TimestampUs::from_date);
        Cell { number: text.as_deref().and_then(|text| text.parse().ok()), instant, text }
    }

    /// Rows whose cells are parted by spaces; the first one has the names.
    fn answer(rows: &[&str]) -> Answer {
        let mut rows = rows.iter().map(|row| row.split(' '));
        let names = rows.next().expect("names").map(str::to_owned).collect();
        Answer { names, rows: rows.map(|row| row.map(cell).collect()).collect(), has_more: false }
    }

    fn columns(series: Option<&str>, values: &[&str], order: Order) -> Columns {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Columns { label: "label".to_owned(), series: series.map(str::to_owned), values, order }
    }

    fn figure(shape: &Shape, answer: &Answer) -> (Vec<String>, Vec<String>, Vec<String>) {
        let shown = Shown::new("t", shape, answer).expect("shown");
        let Picture::Figure(figure) = shown.picture else { panic!("{shown:?}") };
        let rows = figure.rows.iter().map(|row| format!("{} {}", row.name, row.values.join(" ")));
        (figure.head.clone(), rows.collect(), shown.notes)
    }

    fn rows(shape: &Shape, lines: &[&str]) -> Vec<String> {
        figure(shape, &answer(lines)).1
    }

    #[test]
    fn each_column_of_values_is_a_series() {
        let shape = Shape::Chart(Kind::Columns, columns(None, &["a", "b"], Order::Rows));
        let (head, rows, notes) = figure(&shape, &answer(&["label a b", "x 1 2", "NULL 3 NULL", "x 10 0"]));
        assert_eq!((head, notes), (["label", "a", "b"].map(str::to_owned).to_vec(), Vec::new()));
        assert_eq!(rows, ["x 11 2", "- 3 -"]);
    }

    #[test]
    fn a_column_of_series_is_told_apart() {
        let of = |kind, order| Shape::Chart(kind, columns(Some("s"), &["n"], order));
        let lines = ["label s n", "10 a 1", "9 b 2", "10 b 3"];
        assert_eq!(rows(&of(Kind::Stacked, Order::Rows), &lines), ["10 1 3", "9 0 2"]);
        assert_eq!(rows(&of(Kind::Stacked, Order::Version), &lines), ["9 0 2", "10 1 3"]);
        assert_eq!(rows(&of(Kind::Lines, Order::Version), &lines), ["9 - 2", "10 1 3"]);
    }

    #[test]
    fn time_has_no_gaps_and_its_newest_parts_are_shown() {
        let of = |every| Shape::Chart(Kind::Lines, columns(None, &["n"], Order::Every(every)));
        let lines = ["label n", "2026-01-02 1", "2025-12-28 2", "2025-12-31 4", "NULL 9"];
        let weeks = ["2025-W52 2", "2026-W01 5"];
        assert_eq!(rows(&of(Interval::Week), &lines), weeks);
        assert_eq!(
            rows(&of(Interval::Day), &lines),
            ["2025-12-28 2", "2025-12-29 0", "2025-12-30 0", "2025-12-31 4", "2026-01-01 0", "2026-01-02 1"]
        );
        let (_, hours, notes) = figure(&of(Interval::Hour), &answer(&lines));
        assert_eq!((hours.len(), hours[CATEGORIES_MAX - 1].as_str()), (CATEGORIES_MAX, "2026-01-02 00:00 1"));
        assert_eq!(notes, ["The newest 40 of 121 values of label are shown."]);
        let mut ends = answer(&["label n", "a 1", "b 2"]);
        (ends.rows[0][0].instant, ends.rows[1][0].instant) = (Some(TimestampUs(i64::MIN)), Some(TimestampUs(i64::MAX)));
        assert_eq!(figure(&of(Interval::Week), &ends).1.len(), CATEGORIES_MAX);
    }

    #[test]
    fn what_is_too_much_is_left_out_and_said() {
        let lines = |count: usize| {
            let rows = (0..count).map(|at| format!("{at} s{at} 1"));
            ["label s n".to_owned()].into_iter().chain(rows).collect::<Vec<_>>()
        };
        let of = |series, order, count: usize| {
            let lines = lines(count);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            figure(&Shape::Chart(Kind::Columns, columns(series, &["n"], order)), &answer(&lines))
        };
        assert_eq!(of(None, Order::Rows, CATEGORIES_MAX).2, Vec::<String>::new());
        let (_, rows, notes) = of(None, Order::Rows, CATEGORIES_MAX + 1);
        assert_eq!((rows.len(), rows[0].as_str()), (CATEGORIES_MAX, "0 1"));
        assert_eq!(notes, ["The first 40 of 41 values of label are shown."]);
        let (_, rows, notes) = of(None, Order::Version, CATEGORIES_MAX + 1);
        assert_eq!((rows.len(), rows[0].as_str()), (CATEGORIES_MAX, "1 1"));
        assert_eq!(notes, ["The newest 40 of 41 values of label are shown."]);
        let (head, _, notes) = of(Some("s"), Order::Rows, SERIES_MAX + 1);
        assert_eq!((head.len(), notes.len()), (SERIES_MAX + 1, 1));
        assert_eq!(notes[0], "The first 8 of 9 values of s are shown.");
    }

    #[test]
    fn a_share_is_of_all_rows() {
        let shape = Shape::Share(columns(None, &["n"], Order::Rows));
        assert_eq!(rows(&shape, &["label n", "a 6", "b 2", "c NULL"]), ["75.0 % a 6", "25.0 % b 2", "0.0 % c 0"]);
        let many: Vec<String> = (0..=SHARES_MAX).map(|at| format!("{at} 1")).collect();
        let many: Vec<&str> = ["label n"].into_iter().chain(many.iter().map(String::as_str)).collect();
        assert_eq!(rows(&shape, &many).last().map(String::as_str), Some("7.7 % all others 1"));
    }

    #[test]
    fn a_matrix_has_its_rows_and_columns_in_order() {
        let shape = Shape::Matrix(columns(Some("to"), &["n"], Order::Version));
        let shown = Shown::new("t", &shape, &answer(&["label to n", "10 20 1", "9 10 5", "9 20 2"])).expect("shown");
        let Picture::Matrix(matrix) = shown.picture else { panic!("{shown:?}") };
        assert_eq!(matrix.columns, ["10", "20"]);
        let rows: Vec<_> = matrix.rows.iter().map(|row| (row.name.as_str(), row.cells.join("|"))).collect();
        assert_eq!(rows, [("9", "5|2".to_owned()), ("10", "|1".to_owned())]);
        assert_eq!((matrix.caption.as_str(), matrix.total.as_str()), ("label (rows) and to (columns)", "8"));
    }

    #[test]
    fn a_table_shows_what_there_is_room_for() {
        let table = |answer: &Answer| {
            let shown = Shown::new("t", &Shape::Table, answer).expect("shown");
            let Picture::Table(table) = shown.picture else { panic!("no table") };
            (table, shown.notes)
        };
        let (few, notes) = table(&answer(&["id at", "1234567 2026-11-22", "2 NULL"]));
        assert_eq!(few.rows[0].join("|") + "|" + &few.rows[1].join("|"), "1234567|2026-11-22|2|-");
        assert!(notes.is_empty());
        let wide = vec![vec![cell(&"<".repeat(super::super::CELL_CHARS)); 20]; 200];
        let (cut, notes) = table(&Answer { names: vec!["x".repeat(500); 20], rows: wide, has_more: true });
        assert_eq!(notes, [format!("The first {} rows are shown; the files have all of them.", cut.rows.len())]);
        assert!((1..200).contains(&cut.rows.len()) && cut.names[0].chars().count() == NAME_CHARS + 1);
        let one_more = Answer { has_more: true, ..answer(&["a", "1"]) };
        assert_eq!(table(&one_more).1.len(), 1);
    }
}
