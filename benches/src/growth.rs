//! `growth`: every question to stores of several sizes, with the same machines, builds and days: what grows with the
//! records, as a table and as a picture.

use std::fmt::Write;
use std::fs;

use telemetrics_web::charts::{Chart, Kind, Series};

use crate::Failure;
use crate::figures::{Figure, number};
use crate::programs::{Ground, Place};
use crate::questions::{self, Measured};
use crate::report::{Destination, Table};
use crate::size::Size;
use crate::spread::Spread;

/// Most that a question behind a page may grow, from the fewest records to the most: rollups answer it.
const PAGES_TARGET: f64 = 1.5;
/// What the names of those questions begin with.
const PAGES: [&str; 4] = ["counts by", "a week by", "trend by", "machines by"];
/// The section `questions` is about so many records at most.
const QUESTIONS_RECORDS: u64 = 10_000_000;
/// Who is asked.
const ASKED: [(&str, Of); 3] = [
    ("embedded", |measured| measured.embedded_ms),
    ("ClickHouse through us", |measured| measured.through_us_ms),
    ("its own SQL", |measured| measured.sql_ms),
];
/// Panels of the picture side by side, and the size of one with its title.
const COLUMNS: usize = 3;
const PANEL_WIDTH: usize = 400;
const PANEL_HEIGHT: usize = 200;
const TITLE_HEIGHT: usize = 24;
/// How a picture for pages begins: in a file it has a place instead.
const PAGE_PICTURE: &str = "<svg class=\"chart\" role=\"img\"";

type Of = fn(&Measured) -> Spread;

/// The questions to stores of one size.
type Sized = (u64, Vec<Measured>);

/// What `growth` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Records in both stores, from few to many.
    #[arg(long, value_name = "N,N...", value_delimiter = ',', default_values_t = [1_000_000, 3_000_000, 10_000_000])]
    records: Vec<u64>,
    /// How often each question is asked; the median counts.
    #[arg(long, value_name = "N", default_value_t = 7)]
    turns: usize,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

impl Args {
    /// As a part of `report`; the full one with `most` records on top.
    #[must_use]
    pub fn sized(size: Size, most: Option<u64>, place: &Place, destination: &Destination) -> Self {
        let full = [1_000_000, 3_000_000, QUESTIONS_RECORDS].into_iter().chain(most).collect();
        Self {
            records: size.pick(vec![2_000], vec![100_000, 300_000, 1_000_000], full),
            turns: size.pick(1, 3, 7),
            place: place.clone(),
            destination: destination.clone(),
        }
    }

    /// Measures; publishes the table and the picture, and the questions at ten million records or what comes next.
    ///
    /// # Errors
    /// When something cannot be measured, or the stores disagree about the number of rows.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground_with_clickhouse()?;
        let mut sizes: Vec<Sized> = Vec::new();
        for &records in &self.records {
            let data_dir = directory.path().join(records.to_string());
            sizes.push((records, questions::measure(&program, records, self.turns, &data_dir)?));
            fs::remove_dir_all(&data_dir)?;
        }
        let usual = sizes.iter().rfind(|(records, _)| *records <= QUESTIONS_RECORDS).or(sizes.first());
        if let Some((records, measured)) = usual {
            let text = questions::section(*records, measured);
            self.destination.publish("questions", &facts, &text, &questions::figures_of(measured))?;
        }
        let picture = self.destination.results.with_file_name("growth.svg");
        if self.destination.write {
            fs::write(picture, svg(&sizes))?;
        }
        let text = format!("{}\n![How the time of each question grows](growth.svg)\n", table(&sizes));
        self.destination.publish("growth", &facts, &text, &figures(&sizes))
    }
}

/// The times of one question of one store, from few records to many.
fn times(sizes: &[Sized], question: usize, of: Of) -> Vec<f64> {
    sizes.iter().filter_map(|(_, measured)| measured.get(question)).map(|measured| of(measured).median).collect()
}

/// The time with the most records over that with the fewest.
fn factor(times: &[f64]) -> f64 {
    times.last().copied().unwrap_or(f64::NAN) / times.first().copied().unwrap_or(f64::NAN)
}

fn names(sizes: &[Sized]) -> Vec<&'static str> {
    sizes.first().map_or_else(Vec::new, |(_, measured)| measured.iter().map(|line| line.name).collect())
}

/// `300000` as `0.3 M`.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn millions(records: u64) -> String {
    format!("{} M", records as f64 / 1e6)
}

fn table(sizes: &[Sized]) -> String {
    let columns = sizes.iter().map(|(records, _)| format!(">{} ms", millions(*records)));
    let head: Vec<String> =
        ["question".to_owned(), "of".to_owned()].into_iter().chain(columns).chain([">times".to_owned()]).collect();
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for (question, name) in names(sizes).into_iter().enumerate() {
        for (asked, of) in ASKED {
            let times = times(sizes, question, of);
            let cells = times.iter().map(|ms| format!("{ms:.1}")).chain([number(factor(&times))]);
            table.row([name.to_owned(), asked.to_owned()].into_iter().chain(cells));
        }
    }
    table.text().to_owned()
}

fn figures(sizes: &[Sized]) -> Vec<Figure> {
    let (mut figures, range) = (Vec::new(), range(sizes));
    for (asked, of) in ASKED {
        let all = names(sizes).into_iter().enumerate().map(|(at, name)| (name, factor(&times(sizes, at, of))));
        let all: Vec<(&str, f64)> = all.collect();
        let pages = all.iter().filter(|(name, _)| PAGES.iter().any(|begin| name.starts_with(begin)));
        let worst = pages.max_by(|one, other| one.1.total_cmp(&other.1));
        if let Some((name, times)) = worst.filter(|_| asked != ASKED[2].0) {
            let what = format!("{range}, {asked}: most growth of a question behind a page ({name})");
            figures.push(Figure::new(format!("pages {asked}"), what, *times, "times").at_most(PAGES_TARGET));
        }
        figures.extend(all.into_iter().map(|(name, times)| {
            Figure::new(format!("{asked} {name}"), format!("{range}, {asked}: {name}"), times, "times")
        }));
    }
    figures
}

/// `1 M to 10 M records`.
fn range(sizes: &[Sized]) -> String {
    let of = |size: Option<&Sized>| size.map_or_else(String::new, |(records, _)| millions(*records));
    format!("{} to {} records", of(sizes.first()), of(sizes.last()))
}

/// One panel for each question, with a line for each of those that are asked.
fn svg(sizes: &[Sized]) -> String {
    let names = names(sizes);
    let rows = names.len().div_ceil(COLUMNS);
    let (width, height) = (COLUMNS * PANEL_WIDTH, rows * (PANEL_HEIGHT + TITLE_HEIGHT));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (question, name) in names.into_iter().enumerate() {
        let (x, y) = (question % COLUMNS * PANEL_WIDTH, question / COLUMNS * (PANEL_HEIGHT + TITLE_HEIGHT));
        let (text_x, text_y) = (x + 12, y + TITLE_HEIGHT - 6);
        // Writing into a string cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"{text_x}\" y=\"{text_y}\" font-family=\"system-ui\" font-size=\"14\">{name}, ms</text>"
        );
        let place =
            format!("<svg x=\"{x}\" y=\"{}\" width=\"{PANEL_WIDTH}\" height=\"{PANEL_HEIGHT}\"", y + TITLE_HEIGHT);
        svg += &panel(sizes, question, name).replacen(PAGE_PICTURE, &place, 1);
        svg.push('\n');
    }
    svg + "</svg>\n"
}

fn panel(sizes: &[Sized], question: usize, name: &str) -> String {
    let series = |(asked, of): &(&str, Of)| Series {
        name: (*asked).to_owned(),
        values: times(sizes, question, *of).into_iter().map(Some).collect(),
    };
    let chart = Chart {
        title: name.to_owned(),
        kind: Kind::Lines,
        category: "records".into(),
        names: sizes.iter().map(|(records, _)| millions(*records)).collect(),
        series: ASKED.iter().map(series).collect(),
    };
    chart.figure().svg.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Vec<Sized> {
        let measured = |ms: f64| {
            let line = |name, ms: f64| Measured::new(name, 1, &[[ms, 2.0, 2.0]]);
            vec![line("one record", ms), line("counts by build", ms * 2.0)]
        };
        vec![(1_000_000, measured(1.0)), (3_000_000, measured(2.0)), (10_000_000, measured(4.0))]
    }

    #[test]
    fn growth_is_from_the_fewest_records_to_the_most() {
        let text = table(&sizes());
        assert!(text.starts_with("| question | of | 1 M ms | 3 M ms | 10 M ms | times |"), "{text}");
        assert!(text.contains("| one record | embedded | 1.0 | 2.0 | 4.0 | 4 |"), "{text}");
        let figures = figures(&sizes());
        let pages = figures.iter().find(|figure| figure.name == "pages embedded").expect("a figure");
        assert_eq!(
            pages.what,
            "1 M to 10 M records, embedded: most growth of a question behind a page (counts by build)"
        );
        assert_eq!((pages.holds(), figures.len()), (Some(false), 8));
    }

    #[test]
    fn the_picture_has_a_panel_for_each_question() {
        let svg = svg(&sizes());
        assert_eq!(svg.matches("<svg").count(), 3);
        assert!(!svg.contains(PAGE_PICTURE) && svg.contains(">counts by build, ms</text>"), "{svg}");
    }
}
