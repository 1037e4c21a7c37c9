//! `questions`: every question to both stores, beside ClickHouse's own SQL for it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::records::{self, PageRequest};
use telemetrics_analytics::{Analytics, Error};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::generator::{Fleet, WINDOW_DAYS};
use telemetrics_schema::time::{Clock, US_PER_DAY};
use telemetrics_testkit::http::Connection;
use telemetrics_web::clock::SystemClock;
use tokio::runtime::Runtime;

use crate::asked::{self, Asked, Subject};
use crate::corpus::Stores;
use crate::figures::{Figure, between, number};
use crate::programs::{Ground, Place};
use crate::report::{Destination, Table, thousands};
use crate::spread::Spread;
use crate::stores::compact;
use crate::{Failure, stored};

/// Machines of the fleet, whatever the number of records: what grows are the records alone.
const MACHINES: u32 = 20_000;
/// Most that the median question may take on the embedded store, of ClickHouse's own SQL; and any question.
const EMBEDDED_TARGETS: [f64; 2] = [1.0, 2.0];
/// Most that a question may take through us, of the same SQL sent by hand, after [`THROUGH_US_MS`].
const THROUGH_US_TARGET: f64 = 1.15;
const THROUGH_US_MS: f64 = 5.0;

/// What `questions` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Records in both stores; several to see what grows.
    #[arg(long, value_name = "N,N...", value_delimiter = ',', default_values_t = [10_000_000])]
    records: Vec<u64>,
    /// How often each question is asked; the median counts.
    #[arg(long, value_name = "N", default_value_t = 9)]
    turns: usize,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

/// One question, asked several times.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What it is called.
    pub name: &'static str,
    /// Rows of its answer.
    pub rows: usize,
    /// Of the embedded store, in milliseconds.
    pub embedded_ms: Spread,
    /// Of ClickHouse through us, in milliseconds.
    pub through_us_ms: Spread,
    /// Of ClickHouse's own SQL, in milliseconds.
    pub sql_ms: Spread,
    /// The embedded store's time over that of the SQL, turn by turn.
    embedded_ratio: Spread,
    /// The time through us, without the milliseconds that are allowed for the way, over that of the SQL.
    through_us_ratio: Spread,
}

impl Measured {
    /// Of the times of the embedded store, of ClickHouse through us, and of its own SQL, in milliseconds, turn by turn.
    #[must_use]
    pub fn new(name: &'static str, rows: usize, times: &[[f64; 3]]) -> Self {
        let of = |number: fn(&[f64; 3]) -> f64| Spread::of(times.iter().map(number).collect());
        Self {
            name,
            rows,
            embedded_ms: of(|[embedded, _, _]| *embedded),
            through_us_ms: of(|[_, through_us, _]| *through_us),
            sql_ms: of(|[_, _, sql]| *sql),
            embedded_ratio: of(|[embedded, _, sql]| embedded / sql),
            through_us_ratio: of(|[_, through_us, sql]| (through_us - THROUGH_US_MS).max(0.0) / sql),
        }
    }
}

impl Args {
    /// Measures and publishes the table.
    ///
    /// # Errors
    /// When something cannot be measured, or the stores disagree about the number of rows.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground_with_clickhouse()?;
        let (mut text, mut figures) = (String::new(), Vec::new());
        for &records in &self.records {
            let data_dir = directory.path().join(records.to_string());
            let measured = measure(&program, records, self.turns, &data_dir)?;
            text += &section(records, &measured);
            figures = figures_of(&measured);
            std::fs::remove_dir_all(&data_dir)?;
        }
        self.destination.publish("questions", &facts, &text, &figures)
    }
}

/// Both stores with `records` below `data_dir`, and all questions to them, `turns` times.
///
/// # Errors
/// When something cannot be measured, or the stores disagree about the number of rows.
///
/// # Panics
/// When a program does not come up; the message holds what it said.
pub fn measure(program: &str, records: u64, turns: usize, data_dir: &Path) -> Result<Vec<Measured>, Failure> {
    let runtime = Runtime::new()?;
    let now = SystemClock.now();
    let mut stores = runtime.block_on(Stores::create(data_dir))?;
    let filled = runtime.block_on(stores.fill(&fleet(records, now), |_| Ok(())))?;
    let remote = stores.remote_questions()?;
    let clickhouse = stores.into_clickhouse();
    eprintln!("{} records are in both stores; merging", filled.records);
    compact(program, data_dir)?;
    clickhouse.query("OPTIMIZE TABLE records FINAL");
    let embedded = runtime.block_on(stored::open(data_dir))?;
    let subject = runtime.block_on(subject(&embedded, now))?;
    let sql = Connection::open(clickhouse.address())?;
    let mut asker = Asker { runtime, now, embedded, remote, sql, address: clickhouse.address() };
    asked::all(&subject).iter().map(|asked| asker.measure(asked, turns)).collect()
}

/// The fleet that questions are about, whose last records are an hour old.
#[must_use]
pub fn fleet(records: u64, now: TimestampUs) -> Fleet {
    let fleet = Fleet { machines: MACHINES, ..Fleet::demo(1, records, TimestampUs(now.0 - US_PER_DAY / 24)) };
    Fleet { start: TimestampUs(now.0 - (WINDOW_DAYS - 1) * US_PER_DAY), ..fleet }
}

/// Everybody who is asked.
struct Asker {
    runtime: Runtime,
    now: TimestampUs,
    embedded: Analytics,
    remote: Analytics,
    sql: Connection,
    address: SocketAddr,
}

impl Asker {
    fn measure(&mut self, asked: &Asked, turns: usize) -> Result<Measured, Failure> {
        // The first turn warms up.
        let mut rows = self.turn(asked)?.0;
        let mut times = Vec::new();
        for _ in 0..turns {
            let turn = self.turn(asked)?;
            rows = turn.0;
            times.push(turn.1);
        }
        let measured = Measured::new(asked.name, rows, &times);
        let ms = [measured.embedded_ms, measured.through_us_ms, measured.sql_ms].map(|ms| format!("{:.1}", ms.median));
        eprintln!("{}: {} ms", asked.name, ms.join(" "));
        Ok(measured)
    }

    /// Asks all three once; gives the rows, and the times in milliseconds.
    fn turn(&mut self, asked: &Asked) -> Result<(usize, [f64; 3]), Failure> {
        let ours = self.runtime.block_on(ask(&self.embedded, self.now, asked))?;
        let through = self.runtime.block_on(ask(&self.remote, self.now, asked))?;
        let direct = send(&mut self.sql, self.address, &asked.sql)?;
        if ours.0 != through.0 {
            return Err(format!("{}: {} and {} rows of the two stores", asked.name, ours.0, through.0).into());
        }
        Ok((ours.0, [ours.1, through.1, direct].map(|time| time.as_secs_f64() * 1e3)))
    }
}

/// What there is to ask about: the middle record of the newest page tells of a machine and a build.
async fn subject(analytics: &Analytics, now: TimestampUs) -> Result<Subject, Failure> {
    let view = analytics.at(now).await?;
    let request = PageRequest { limit: 1_001, cursor: None };
    let page = records::page(&view, &RecordFilter::default(), &request).await?.records;
    let record = page.get(page.len() / 2).ok_or("the store is empty")?;
    let report = &record.report;
    Ok(Subject { now, machine: report.machine_id.clone(), id: record.id, build: report.build.clone() })
}

async fn ask(analytics: &Analytics, now: TimestampUs, asked: &Asked) -> Result<(usize, Duration), Error> {
    let begin = Instant::now();
    let view = analytics.at(now).await?;
    let rows = asked.question.ask(&view, now).await?;
    Ok((rows, begin.elapsed()))
}

fn send(connection: &mut Connection, address: SocketAddr, sql: &str) -> Result<Duration, Failure> {
    let length = sql.len();
    let head =
        format!("POST /?default_format=RowBinary HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{sql}");
    let begin = Instant::now();
    connection.send(head.as_bytes())?;
    let answer = connection.receive()?;
    if answer.status != 200 {
        return Err(format!("{sql}: {}", answer.text()).into());
    }
    Ok(begin.elapsed())
}

/// The table of one number of records, with its title.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn section(records: u64, measured: &[Measured]) -> String {
    let mut table = Table::new(&[
        "question",
        ">rows",
        ">embedded ms",
        ">ClickHouse through us ms",
        ">its own SQL ms",
        ">embedded / SQL",
        "quartiles",
        ">(through us - 5 ms) / SQL",
        "quartiles",
    ]);
    for line in measured {
        let ms = |spread: Spread| format!("{:.1}", spread.median);
        table.row([
            line.name.to_owned(),
            line.rows.to_string(),
            ms(line.embedded_ms),
            ms(line.through_us_ms),
            ms(line.sql_ms),
            number(line.embedded_ratio.median),
            between(line.embedded_ratio.quartiles),
            number(line.through_us_ratio.median),
            between(line.through_us_ratio.quartiles),
        ]);
    }
    format!("{} records\n\n{}\n", thousands(records as f64), table.text())
}

/// What is promised, and the times of each question.
#[must_use]
pub fn figures_of(measured: &[Measured]) -> Vec<Figure> {
    let ratios = Spread::of(measured.iter().map(|line| line.embedded_ratio.median).collect());
    let mut figures = vec![
        Figure::new("median", "embedded / ClickHouse's own SQL, median of all questions", ratios.median, "")
            .within(ratios.quartiles)
            .at_most(EMBEDDED_TARGETS[0]),
    ];
    let worst = |of: fn(&Measured) -> Spread| {
        measured
            .iter()
            .max_by(|one, other| of(one).median.total_cmp(&of(other).median))
            .map(|line| (line.name, of(line)))
    };
    if let Some((name, ratio)) = worst(|line| line.embedded_ratio) {
        let what = format!("embedded / ClickHouse's own SQL, most of a question ({name})");
        let figure = Figure::new("most-embedded", what, ratio.median, "");
        figures.push(figure.within(ratio.quartiles).at_most(EMBEDDED_TARGETS[1]));
    }
    if let Some((name, ratio)) = worst(|line| line.through_us_ratio) {
        let what = format!("(ClickHouse through us - 5 ms) / its own SQL, most of a question ({name})");
        let figure = Figure::new("most-through-us", what, ratio.median, "");
        figures.push(figure.within(ratio.quartiles).at_most(THROUGH_US_TARGET));
    }
    figures.extend(measured.iter().flat_map(times));
    figures
}

fn times(line: &Measured) -> [Figure; 3] {
    let figure = |store: &str, ms: Spread| {
        Figure::new(format!("{store} {}", line.name), format!("{}, {store}", line.name), ms.median, "ms")
            .within(ms.quartiles)
    };
    [figure("embedded", line.embedded_ms), figure("through-us", line.through_us_ms), figure("sql", line.sql_ms)]
}
