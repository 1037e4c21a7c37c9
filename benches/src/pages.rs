//! `pages`: how long people wait for pages and scripts for answers of the API, on both stores.

mod asked;
mod edit;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::client::{Client, Received, nowhere};
use crate::figures::Figure;
use crate::programs::{Ground, Place};
use crate::report::{Destination, Table, thousands};
use crate::served::{Kept, Served};
use crate::size::Size;
use crate::spread::{Spread, range};

use asked::{ALL_CRASHES, Asked, Kind, Subject};

/// Longest time to the first byte of a page, at any number of records, in milliseconds.
const FIRST_BYTE_TARGET_MS: f64 = 100.0;
/// Most bytes of a page, whatever the data.
const PAGE_TARGET_BYTES: f64 = 150e3;
/// Longest time of 99 of 100 filtered pages of the API, in milliseconds.
const FILTERED_TARGET_MS: f64 = 50.0;
/// How many times as long the default page of the API may take with the most records as with the fewest.
const GROWTH_TARGET: f64 = 2.0;
/// Longest time of the page of causes and of an edit, over so many records, a fifth of them crashes.
const CRASHES_RECORDS: u64 = 1_000_000;
const CRASHES_TARGET_MS: f64 = 200.0;
const EDIT_TARGET_S: f64 = 1.0;
/// Least turns of an address, however slow it is.
const TURNS_MIN: usize = 5;
/// Turns of an edit.
const EDITS: usize = 5;

/// What `pages` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Records in both stores; several to see what grows.
    #[arg(long, value_name = "N,N...", value_delimiter = ',', default_values_t = [1_000_000])]
    records: Vec<u64>,
    /// How often each address is asked.
    #[arg(long, value_name = "N", default_value_t = 200)]
    turns: usize,
    /// How long an address is asked at most, in seconds, but not less than five times.
    #[arg(long, value_name = "N", default_value_t = 6)]
    seconds: u64,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

/// What was measured over one number of records.
struct Measured {
    records: u64,
    lines: Vec<Line>,
    edits: Vec<(Kept, Spread)>,
}

/// One address on one store.
struct Line {
    asked: Asked,
    kept: Kept,
    /// The first answer, which makes what others find.
    cold_ms: f64,
    turns: Vec<Received>,
}

impl Args {
    /// As a part of `report`.
    #[must_use]
    pub fn sized(size: Size, place: &Place, destination: &Destination) -> Self {
        Self {
            records: size.pick(vec![3_000], vec![200_000], vec![100_000, 1_000_000, 10_000_000]),
            turns: size.pick(1, 20, 200),
            seconds: size.pick(1, 1, 2),
            place: place.clone(),
            destination: destination.clone(),
        }
    }

    /// Measures and publishes the tables.
    ///
    /// # Errors
    /// When something cannot be measured: an answer that is not 200, an edit that does not show.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground_with_clickhouse()?;
        let mut all = Vec::new();
        for &records in &self.records {
            let own = directory.path().join(records.to_string());
            std::fs::create_dir(&own)?;
            all.push(self.measure(&program, records, &own)?);
            std::fs::remove_dir_all(&own)?;
        }
        let text: String = all.iter().map(table).collect();
        let figures: Vec<Figure> = all.iter().flat_map(figures).chain(growth(&all)).collect();
        self.destination.publish("pages", &facts, &text, &figures)
    }

    fn measure(&self, program: &str, records: u64, directory: &Path) -> Result<Measured, Failure> {
        let served = Served::start(program, records, directory, "")?;
        let open = |kept| Client::open(served.server(kept).address());
        let mut clients = [open(Kept::Embedded)?, open(Kept::ClickHouse)?];
        let subject = Subject::of(&mut clients[0])?;
        let mut lines = Vec::new();
        for asked in subject.all() {
            lines.extend(self.take_turns(&mut clients, &asked)?);
        }
        let mut edits = Vec::new();
        for (kept, client) in Kept::ALL.into_iter().zip(&mut clients) {
            let seconds = (0..EDITS).map(|_| edit::seconds_until_visible(client, &subject.guilty));
            edits.push((kept, Spread::of(seconds.collect::<Result<_, _>>()?)));
        }
        Ok(Measured { records: served.records, lines, edits })
    }

    /// One address on both stores in turns, after one answer that is not counted.
    fn take_turns(&self, clients: &mut [Client; 2], asked: &Asked) -> Result<Vec<Line>, Failure> {
        let mut lines = Vec::new();
        for (kept, client) in Kept::ALL.into_iter().zip(clients.iter_mut()) {
            let cold_ms = ms(client.get(&asked.path, nowhere)?.whole);
            lines.push(Line { asked: asked.clone(), kept, cold_ms, turns: Vec::new() });
        }
        let (begin, limit) = (Instant::now(), Duration::from_secs(self.seconds));
        for turn in 0..self.turns {
            if turn >= TURNS_MIN && begin.elapsed() > limit {
                break;
            }
            for (line, client) in lines.iter_mut().zip(clients.iter_mut()) {
                line.turns.push(client.get(&asked.path, nowhere)?);
            }
        }
        for line in &lines {
            eprintln!("{} ({}): {:.1} ms", asked.name, line.kept.name(), line.whole_ms().median);
        }
        Ok(lines)
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Line {
    fn first_byte_ms(&self) -> Spread {
        Spread::of(self.turns.iter().map(|received| ms(received.first_byte)).collect())
    }

    fn whole_ms(&self) -> Spread {
        Spread::of(self.turns.iter().map(|received| ms(received.whole)).collect())
    }

    /// The time that 99 of 100 answers do not pass; of less than 100 it is the longest.
    fn p99_ms(&self) -> f64 {
        let mut times: Vec<f64> = self.turns.iter().map(|received| ms(received.whole)).collect();
        times.sort_by(f64::total_cmp);
        let rank = (times.len() * 99).div_ceil(100);
        rank.checked_sub(1).and_then(|place| times.get(place)).copied().unwrap_or(f64::NAN)
    }

    #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    fn bytes(&self) -> f64 {
        self.turns.iter().map(|received| received.bytes).max().unwrap_or_default() as f64
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn table(measured: &Measured) -> String {
    let mut table = Table::new(&[
        "address",
        "store",
        ">times",
        ">first byte ms",
        ">whole ms",
        ">p99 ms",
        ">first answer ms",
        ">kB",
    ]);
    for line in &measured.lines {
        table.row([
            line.asked.name.to_owned(),
            line.kept.name().to_owned(),
            line.turns.len().to_string(),
            format!("{:.1}", line.first_byte_ms().median),
            format!("{:.1}", line.whole_ms().median),
            format!("{:.1}", line.p99_ms()),
            format!("{:.1}", line.cold_ms),
            format!("{:.1}", line.bytes() / 1e3),
        ]);
    }
    format!("{} records\n\n{}\n", thousands(measured.records as f64), table.text())
}

fn figures(measured: &Measured) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Kept::ALL.into_iter().flat_map(|kept| worst(measured, kept)).collect();
    figures.extend(measured.lines.iter().map(|line| whole(line, measured.records)));
    for (kept, seconds) in &measured.edits {
        let (name, what) = (format!("edit-{}", kept.name()), format!("an edit shows, {}", kept.name()));
        let figure = Figure::new(name, what, seconds.median, "s").within(seconds.quartiles);
        figures.push(if measured.records <= CRASHES_RECORDS { figure.at_most(EDIT_TARGET_S) } else { figure });
    }
    let of_size = |figure: Figure| {
        let what = format!("{}, {} records", figure.what, measured.records);
        Figure { name: format!("{}-{}", figure.name, measured.records), what, ..figure }
    };
    figures.into_iter().map(of_size).collect()
}

/// What all pages, and all filtered answers, promise: the worst of them decides.
fn worst(measured: &Measured, kept: Kept) -> Vec<Figure> {
    let most = |kind: Kind, of: fn(&Line) -> f64| {
        let lines = measured.lines.iter().filter(|line| line.kept == kept && line.asked.kind == kind);
        let line = lines.max_by(|one, other| of(one).total_cmp(&of(other)));
        (line.map_or("nothing", |line| line.asked.name), line.map_or(f64::NAN, of))
    };
    let figure = |name: &str, what: &str, (page, value): (&str, f64), unit| {
        Figure::new(format!("{name}-{}", kept.name()), format!("{what} ({page}), {}", kept.name()), value, unit)
    };
    let first_byte = most(Kind::Page, |line| line.first_byte_ms().median);
    let size = most(Kind::Page, Line::bytes);
    let filtered = most(Kind::Filtered, Line::p99_ms);
    vec![
        figure("first-byte", "slowest first byte of a page", first_byte, "ms").at_most(FIRST_BYTE_TARGET_MS),
        figure("size", "largest page", size, "bytes").at_most(PAGE_TARGET_BYTES),
        figure("filtered-p99", "slowest p99 of a filtered page of the API", filtered, "ms").at_most(FILTERED_TARGET_MS),
    ]
}

/// How long an answer takes; that of the page of causes has a target of its own.
fn whole(line: &Line, records: u64) -> Figure {
    let name = line.asked.name.to_lowercase().replace(", ", "-").replace(' ', "-");
    let kind = if line.asked.kind == Kind::Page { "page" } else { "api" };
    let whole = line.whole_ms();
    let what = format!("{} ({kind}), {}", line.asked.name, line.kept.name());
    let figure = Figure::new(format!("{kind}-{name}-{}", line.kept.name()), what, whole.median, "ms");
    let figure = figure.within(whole.quartiles);
    let has_target = line.asked.name == ALL_CRASHES && records <= CRASHES_RECORDS;
    if has_target { figure.at_most(CRASHES_TARGET_MS) } else { figure }
}

/// How the default page of the records API grows from the fewest records to the most; nothing when there is one number.
fn growth(all: &[Measured]) -> Vec<Figure> {
    let fewest = all.iter().min_by_key(|measured| measured.records);
    let most = all.iter().max_by_key(|measured| measured.records);
    let (Some(fewest), Some(most)) = (fewest, most.filter(|_| all.len() > 1)) else { return Vec::new() };
    let of = |measured: &Measured, kept| {
        let mut lines = measured.lines.iter();
        lines.find(|line| line.kept == kept && line.asked.kind == Kind::DefaultPage).map(Line::whole_ms)
    };
    let grown = |kept: Kept| {
        let (before, after) = (of(fewest, kept)?, of(most, kept)?);
        let what = format!(
            "default page of /api/records with {} records, times that with {}, {}",
            most.records,
            fewest.records,
            kept.name()
        );
        let ratios = after.quartiles.map(|quartile| quartile / before.median);
        let figure = Figure::new(format!("growth-{}", kept.name()), what, after.median / before.median, "");
        Some(figure.within(range(&ratios)).at_most(GROWTH_TARGET))
    };
    Kept::ALL.into_iter().filter_map(grown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kept: Kept, kind: Kind, ms: &[u64]) -> Line {
        let asked = Asked { name: "a page", kind, path: String::new() };
        let received = |ms: &u64| {
            let whole = Duration::from_millis(*ms);
            Received { first_byte: whole / 2, whole, bytes: 1_000 * ms }
        };
        Line { asked, kept, cold_ms: 0.0, turns: ms.iter().map(received).collect() }
    }

    fn value(figures: &[Figure], name: &str) -> f64 {
        figures.iter().find(|figure| figure.name == name).unwrap_or_else(|| panic!("no {name}: {figures:?}")).value
    }

    #[test]
    fn the_worst_page_decides() {
        let lines = vec![
            line(Kept::Embedded, Kind::Page, &[100, 300, 200]),
            line(Kept::Embedded, Kind::Page, &[10, 500, 10]),
            line(Kept::Embedded, Kind::Filtered, &[30, 40, 20]),
            line(Kept::ClickHouse, Kind::Page, &[1]),
            line(Kept::ClickHouse, Kind::Filtered, &[1]),
        ];
        let found = figures(&Measured { records: 7, lines, edits: Vec::new() });
        let close = |name: &str, expected: f64| assert!((value(&found, name) - expected).abs() < 1e-6, "{found:?}");
        close("first-byte-embedded-7", 100.0);
        close("size-embedded-7", 500_000.0);
        close("filtered-p99-embedded-7", 40.0);
        close("first-byte-clickhouse-7", 0.5);
    }

    #[test]
    fn p99_leaves_out_one_of_a_hundred() {
        let times: Vec<u64> = (1..=200).collect();
        assert!((line(Kept::Embedded, Kind::Page, &times).p99_ms() - 198.0).abs() < 1e-6);
        assert!((line(Kept::Embedded, Kind::Page, &[3, 1]).p99_ms() - 3.0).abs() < 1e-6);
    }

    #[test]
    fn growth_is_from_the_fewest_to_the_most() {
        let of = |records, ms| Measured {
            records,
            lines: vec![line(Kept::Embedded, Kind::DefaultPage, &[ms])],
            edits: Vec::new(),
        };
        let figures = growth(&[of(10, 30), of(1, 10), of(5, 90)]);
        assert!((value(&figures, "growth-embedded") - 3.0).abs() < 1e-6 && figures.len() == 1);
        assert!(growth(&[of(10, 30)]).is_empty());
    }
}
