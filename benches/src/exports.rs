//! `exports`: all records as a file, beside ClickHouse's and DuckDB's of the same rows; and what that takes of the server.

mod crowd;
mod days;
mod ways;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::figures::Figure;
use crate::procfs::mb;
use crate::programs::{Ground, Place};
use crate::report::{Destination, Table, ratio, thousands};
use crate::served::{Kept, Served};
use crate::size::Size;
use crate::spread::Spread;

use crowd::{Crowd, Slow};
use days::Day;
use ways::{Done, Format, Way, Ways};

/// Nothing expires while it is measured: all ways have the same rows.
const CONFIG: &str = "retention = \"off\"\n";
/// Least rows a second as CSV: fifty times the original.
const CSV_TARGET: f64 = 428_500.0;
/// Most resident memory of a server, whatever it exports, in MB.
const MEMORY_TARGET_MB: f64 = 300.0;
/// Least speed of Parquet from the embedded store, of ClickHouse's and of DuckDB's.
const EMBEDDED_TARGET: f64 = 1.0;
/// Least speed of Parquet from ClickHouse through us, of its own.
const THROUGH_US_TARGET: f64 = 0.8;

/// What `exports` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Records in both stores; several to see what grows.
    #[arg(long, value_name = "N,N...", value_delimiter = ',', default_values_t = [1_000_000])]
    records: Vec<u64>,
    /// How often each way has its turn; medians count.
    #[arg(long, value_name = "N", default_value_t = 5)]
    turns: usize,
    /// How long a client reads slowly, and how long many export at once.
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

/// What was measured over one number of records.
struct Measured {
    records: u64,
    runs: Vec<Run>,
    slow: Vec<Slow>,
    days: Vec<Day>,
    crowds: Vec<Crowd>,
}

/// All turns of one way to one format.
struct Run {
    format: Format,
    way: Way,
    turns: Vec<Done>,
}

impl Args {
    /// As a part of `report`.
    #[must_use]
    pub fn sized(size: Size, place: &Place, destination: &Destination) -> Self {
        Self {
            records: vec![size.pick(2_000, 200_000, 1_000_000)],
            turns: size.pick(1, 2, 3),
            seconds: size.pick(1, 5, 15),
            place: place.clone(),
            destination: destination.clone(),
        }
    }

    /// Measures and publishes the tables.
    ///
    /// # Errors
    /// When something cannot be measured, or a file does not have all rows.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground_with_clickhouse()?;
        let (mut text, mut all) = (String::new(), Vec::new());
        for &records in &self.records {
            let own = directory.path().join(records.to_string());
            std::fs::create_dir(&own)?;
            let measured = self.measure(&program, records, &own)?;
            text += &tables(&measured);
            all.extend(figures(&measured));
            std::fs::remove_dir_all(&own)?;
        }
        self.destination.publish("exports", &facts, &text, &all)
    }

    fn measure(&self, program: &str, records: u64, directory: &Path) -> Result<Measured, Failure> {
        let served = Served::start(program, records, directory, CONFIG)?;
        let duration = Duration::from_secs(self.seconds);
        let mut runs = Vec::new();
        let ways = Ways::new(&served, directory)?;
        for format in Format::ALL {
            runs.extend(self.take_turns(&ways, format, served.records)?);
        }
        let (mut slow, mut days, mut crowds) = (Vec::new(), Vec::new(), Vec::new());
        for kept in Kept::ALL {
            for format in Format::ALL {
                slow.push(Slow::measure(&served, kept, format, duration)?);
            }
            days.push(Day::measure(&served, kept)?);
        }
        // Last, because it adds records.
        for kept in Kept::ALL {
            crowds.push(Crowd::measure(&served, kept, duration)?);
        }
        Ok(Measured { records: served.records, runs, slow, days, crowds })
    }

    /// All ways to one format, in turns; before them each has one that is looked at and not counted.
    fn take_turns(&self, ways: &Ways<'_>, format: Format, records: u64) -> Result<Vec<Run>, Failure> {
        let mut runs: Vec<Run> =
            Way::all(format).into_iter().map(|way| Run { format, way, turns: Vec::new() }).collect();
        for run in &runs {
            let rows = ways.rows(run.way, format)?;
            if rows != records {
                let (way, format) = (run.way.shown(), format.name());
                return Err(format!("{way} gave {rows} of {records} records as {format}").into());
            }
        }
        for _ in 0..self.turns {
            for run in &mut runs {
                run.turns.push(ways.turn(run.way, format)?);
            }
        }
        for run in &runs {
            eprintln!("{} {}: {:.2} s", format.name(), run.way.shown(), run.seconds().median);
        }
        Ok(runs)
    }
}

impl Run {
    fn seconds(&self) -> Spread {
        Spread::of(self.turns.iter().map(|done| done.time.as_secs_f64()).collect())
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
    fn rate(&self, records: u64) -> Spread {
        Spread::of(self.turns.iter().map(|done| records as f64 / done.time.as_secs_f64()).collect())
    }

    fn bytes(&self) -> u64 {
        self.turns.iter().map(|done| done.bytes).max().unwrap_or_default()
    }

    fn peak_mb(&self) -> f64 {
        self.turns.iter().map(|done| mb(done.peak_kib)).fold(0.0, f64::max)
    }

    /// How many times as fast as `other`, turn by turn.
    fn times(&self, other: &Self) -> Spread {
        let turns = self.turns.iter().zip(&other.turns);
        Spread::of(turns.map(|(own, other)| other.time.as_secs_f64() / own.time.as_secs_f64()).collect())
    }
}

impl Measured {
    fn run(&self, format: Format, way: Way) -> Option<&Run> {
        self.runs.iter().find(|run| run.format == format && run.way == way)
    }

    /// Speeds of one way in those of another one, for each pair that says something.
    fn pairs(&self) -> Vec<(Format, Way, Way, Spread)> {
        let (embedded, through_us) = (Way::Ours(Kept::Embedded), Way::Ours(Kept::ClickHouse));
        let mut pairs = Vec::new();
        for format in Format::ALL {
            for (way, peer) in [(embedded, Way::OwnSql), (embedded, Way::DuckDb), (through_us, Way::OwnSql)] {
                if let (Some(own), Some(other)) = (self.run(format, way), self.run(format, peer)) {
                    pairs.push((format, way, peer, own.times(other)));
                }
            }
        }
        pairs
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn tables(measured: &Measured) -> String {
    let title = format!("{} records\n\n", thousands(measured.records as f64));
    let parts = [of_runs(measured), days::table(&measured.days), crowd::slow_table(&measured.slow)];
    let crowds = crowd::table(&measured.crowds);
    title + &parts.join("\n") + "\n" + &crowds + "\n"
}

#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn of_runs(measured: &Measured) -> String {
    let mut table = Table::new(&[
        "format",
        "way",
        ">rows/s",
        ">bytes/row",
        ">times ClickHouse's own",
        ">times DuckDB's",
        ">peak MB",
    ]);
    let pairs = measured.pairs();
    for run in &measured.runs {
        let times = |peer| {
            let pair =
                pairs.iter().find(|(format, way, other, _)| (*format, *way, *other) == (run.format, run.way, peer));
            pair.map_or_else(String::new, |(.., times)| format!("{:.2}", times.median))
        };
        table.row([
            run.format.name().to_owned(),
            run.way.shown().to_owned(),
            thousands(run.rate(measured.records).median),
            ratio(run.bytes() as f64, measured.records as f64),
            times(Way::OwnSql),
            times(Way::DuckDb),
            format!("{:.0}", run.peak_mb()),
        ]);
    }
    table.text().to_owned()
}

fn figures(measured: &Measured) -> Vec<Figure> {
    let mut figures: Vec<Figure> = measured.pairs().into_iter().map(speed).collect();
    figures.extend(measured.runs.iter().map(|run| rate(run, measured.records)));
    figures.extend(memory(measured));
    figures.extend(measured.days.iter().flat_map(Day::figures));
    figures.extend(measured.crowds.iter().flat_map(Crowd::figures));
    let of_size = |figure: Figure| {
        let what = format!("{}, {} records", figure.what, measured.records);
        Figure { name: format!("{}-{}", figure.name, measured.records), what, ..figure }
    };
    figures.into_iter().map(of_size).collect()
}

fn speed((format, way, peer, times): (Format, Way, Way, Spread)) -> Figure {
    let name = format!("{}-{}-per-{}", format.name(), way.name(), peer.name());
    let what = format!("{} from {}, times as fast as {}", format.name(), way.shown(), peer.shown());
    let figure = Figure::new(name, what, times.median, "").within(times.quartiles);
    match (format, way) {
        (Format::Parquet, Way::Ours(Kept::Embedded)) => figure.at_least(EMBEDDED_TARGET),
        (Format::Parquet, _) => figure.at_least(THROUGH_US_TARGET),
        _ => figure,
    }
}

fn rate(run: &Run, records: u64) -> Figure {
    let rate = run.rate(records);
    let name = format!("{}-{}-rate", run.format.name(), run.way.name());
    let what = format!("{} from {}", run.format.name(), run.way.shown());
    let figure = Figure::new(name, what, rate.median, "rows/s").within(rate.quartiles);
    let is_ours = matches!(run.way, Way::Ours(_));
    if is_ours && run.format == Format::Csv { figure.at_least(CSV_TARGET) } else { figure }
}

/// The most that was resident in one of our servers under each kind of load.
fn memory(measured: &Measured) -> Vec<Figure> {
    let mut most: BTreeMap<(Kept, &str), f64> = BTreeMap::new();
    let mut note = |kept, load, peak: f64| {
        let known = most.entry((kept, load)).or_default();
        *known = known.max(peak);
    };
    for run in &measured.runs {
        if let Way::Ours(kept) = run.way {
            note(kept, "one", run.peak_mb());
        }
    }
    measured.slow.iter().for_each(|slow| note(slow.kept, "slow", mb(slow.peak_kib)));
    measured.crowds.iter().for_each(|crowd| note(crowd.kept, "crowd", mb(crowd.peak_kib)));
    let figure = |((kept, load), peak): ((Kept, &str), f64)| {
        let said = match load {
            "slow" => "a client that reads slowly",
            "crowd" => "many clients while records come in",
            _ => "one export",
        };
        let what = format!("most memory with {said}, {}", Way::Ours(kept).shown());
        Figure::new(format!("memory-{load}-{}", kept.name()), what, peak, "MB").at_most(MEMORY_TARGET_MB)
    };
    most.into_iter().map(figure).collect()
}
