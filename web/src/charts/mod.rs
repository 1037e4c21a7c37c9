//! Charts: the same numbers as a picture, drawn here as SVG, and as a table.
//!
//! A picture has no colours of its own: the stylesheet gives each of those in [`colours`] one for light and one for dark
//! pages. Names are cut and made visible before they get here or in [`Chart::figure`]; the library escapes them.

pub mod colours;
mod draw;
pub mod matrix;
pub mod share;
mod tidy;

use std::borrow::Cow;

use crate::pages::text;

/// Most categories of a chart; who makes a chart chooses which.
pub const CATEGORIES_MAX: usize = 40;
/// Most series of a chart: as many as there are colours that people can tell apart.
pub const SERIES_MAX: usize = colours::SERIES.len();
/// Most numbers of a chart: each takes about 250 bytes of a page.
pub const CELLS_MAX: usize = 160;
/// Longest name of a category or a series, in characters.
const NAME_CHARS: usize = 36;

/// How numbers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A column for each category and series.
    Columns,
    /// A column for each category, in which the series stand one on the other.
    Stacked,
    /// A line for each series.
    Lines,
    /// A bar for each category, from left to right: there is room for long names.
    Bars,
}

/// Numbers to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows, a few words.
    pub title: String,
    /// How.
    pub kind: Kind,
    /// What a category is, for instance `build`.
    pub category: Cow<'static, str>,
    /// The categories in their order, at most [`CATEGORIES_MAX`].
    pub names: Vec<String>,
    /// The series, at most [`SERIES_MAX`].
    pub series: Vec<Series>,
}

/// One number for each category.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it counts.
    pub name: String,
    /// As many as there are categories; `None` where nothing is known.
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// A series of counts.
    pub fn counts(name: impl Into<String>, counts: impl IntoIterator<Item = u64>) -> Self {
        // Exact up to 2^53, which no store holds.
        #[allow(clippy::cast_precision_loss)]
        let values = counts.into_iter().map(|count| Some(count as f64)).collect();
        Self { name: name.into(), values }
    }
}

/// A chart, ready to be put into a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// The picture: markup. `None` when there is nothing to draw.
    pub svg: Option<String>,
    /// The names of the table's columns: category, then series.
    pub head: Vec<String>,
    /// The rows of the table.
    pub rows: Vec<Row>,
}

/// One category in the table behind a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The category.
    pub name: String,
    /// A number for each series, as people read it.
    pub values: Vec<String>,
    /// Where the name leads.
    pub address: Option<String>,
}

impl Chart {
    /// Picture and table. What is beyond the limits of a chart is left out of both.
    #[must_use]
    pub fn figure(&self) -> Figure {
        let chart = self.within_limits();
        let svg = (!chart.names.is_empty() && !chart.series.is_empty()).then(|| draw::svg(&chart)).flatten();
        let head =
            [chart.category.to_string()].into_iter().chain(chart.series.iter().map(|series| series.name.clone()));
        let row = |(place, name): (usize, &String)| Row {
            name: name.clone(),
            values: chart.series.iter().map(|series| shown(series.values.get(place).copied().flatten())).collect(),
            address: None,
        };
        let rows = chart.names.iter().enumerate().map(row).collect();
        Figure { title: chart.title.clone(), svg, head: head.collect(), rows }
    }

    fn within_limits(&self) -> Self {
        let series = self.series.len().min(SERIES_MAX);
        let names = self.names.len().min(CATEGORIES_MAX).min(CELLS_MAX / series.max(1));
        let cut = |series: &Series| Series {
            name: text::line(&series.name, NAME_CHARS),
            values: series.values.iter().copied().take(names).collect(),
        };
        Self {
            names: self.names.iter().take(names).map(|name| text::line(name, NAME_CHARS)).collect(),
            series: self.series.iter().take(series).map(cut).collect(),
            ..self.clone()
        }
    }
}

impl Figure {
    /// The same with one more column in its table, a text for each row: what is not drawn.
    #[must_use]
    pub fn with_column(mut self, name: impl Into<String>, texts: impl IntoIterator<Item = String>) -> Self {
        self.head.push(name.into());
        for (row, text) in self.rows.iter_mut().zip(texts) {
            row.values.push(text);
        }
        self
    }

    /// The same with other texts in the column of the series in that place: what is drawn as one number can have bounds.
    #[must_use]
    pub fn with_texts(mut self, series: usize, texts: impl IntoIterator<Item = String>) -> Self {
        for (row, text) in self.rows.iter_mut().zip(texts) {
            if let Some(value) = row.values.get_mut(series) {
                *value = text;
            }
        }
        self
    }

    /// The same with an address for each row, where its name leads.
    #[must_use]
    pub fn with_addresses(mut self, addresses: impl IntoIterator<Item = String>) -> Self {
        for (row, address) in self.rows.iter_mut().zip(addresses) {
            row.address = Some(address);
        }
        self
    }
}

/// A number as people read it: counts whole, rates with one decimal.
fn shown(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        // Whole and in range: both are asked for.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(value) if value >= 0.0 && value.fract() == 0.0 && value < 9e15 => text::thousands(value as u64),
        Some(value) => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn chart(kind: Kind, names: usize, series: usize) -> Chart {
        let values = |of: usize| (0..names).map(move |at| (at * 37 + of * 11) as u64 % 97 * 1_000);
        Chart {
            title: "Records by build".to_owned(),
            kind,
            category: "build".into(),
            names: (0..names).map(|at| format!("{}", 40_000 + at)).collect(),
            series: (0..series).map(|of| Series::counts(format!("class <{of}>"), values(of))).collect(),
        }
    }

    #[test]
    fn the_table_has_every_number_of_the_picture() {
        let figure = chart(Kind::Stacked, 3, 2).figure();
        assert_eq!(figure.head, ["build", "class <0>", "class <1>"]);
        assert_eq!(figure.rows[1].name, "40001");
        assert_eq!(figure.rows[1].values, ["37,000", "48,000"]);
        let svg = figure.svg.expect("a picture");
        assert!(svg.contains("<title>class &lt;1&gt;: 48,000 (40001)</title>"), "{svg}");
    }

    #[test]
    fn a_table_says_more_than_its_picture() {
        let texts = |text: &str| vec![text.to_owned(); 2];
        let figure = chart(Kind::Bars, 2, 1).figure().with_column("share", texts("50.0 %"));
        let figure = figure.with_texts(0, texts("1 to 2")).with_texts(7, texts("nothing")).with_addresses(texts("/x"));
        assert_eq!(figure.head, ["build", "class <0>", "share"]);
        assert_eq!(figure.rows[1].values, ["1 to 2", "50.0 %"]);
        assert_eq!(figure.rows[1].address.as_deref(), Some("/x"));
    }

    #[test]
    fn what_is_beyond_the_limits_is_left_out_of_both() {
        for kind in [Kind::Columns, Kind::Stacked, Kind::Lines, Kind::Bars] {
            let figure = chart(kind, CATEGORIES_MAX + 1, 1).figure();
            assert_eq!(figure.rows.len(), CATEGORIES_MAX, "{kind:?}");
            let figure = chart(kind, 1_000, 1_000).figure();
            assert_eq!((figure.rows.len(), figure.head.len()), (CELLS_MAX / SERIES_MAX, SERIES_MAX + 1), "{kind:?}");
            assert!(figure.svg.is_some_and(|svg| svg.len() < CELLS_MAX * 350), "{kind:?}");
        }
    }

    #[test]
    fn nothing_to_draw_is_no_picture() {
        assert_eq!(chart(Kind::Columns, 0, 1).figure().svg, None);
        assert_eq!(chart(Kind::Lines, 1, 0).figure().svg, None);
    }

    #[test]
    fn numbers_are_as_people_read_them() {
        assert_eq!(shown(None), "-");
        assert_eq!(shown(Some(1_234_567.0)), "1,234,567");
        assert_eq!((shown(Some(2.25)), shown(Some(-1.0))), ("2.2".to_owned(), "-1.0".to_owned()));
    }
}
