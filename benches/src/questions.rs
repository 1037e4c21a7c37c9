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
use crate::programs::{Place, build};
use crate::report::{Destination, Table, ratio, thousands};
use crate::stores::compact;
use crate::{Failure, machine, stored};

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

/// The medians of one question, in milliseconds.
struct Measured {
    name: &'static str,
    rows: usize,
    embedded_ms: f64,
    through_us_ms: f64,
    sql_ms: f64,
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
        let program = self.place.program()?;
        build(&["--package", "telemetrics-testkit"])?;
        let directory = self.place.directory()?;
        let facts = machine::facts(directory.path())?;
        let mut text = String::new();
        for &records in &self.records {
            let data_dir = directory.path().join(records.to_string());
            let measured = self.measure(&program, records, &data_dir)?;
            #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
            let title = format!("{} records\n\n", thousands(records as f64));
            text += &(title + &table(&measured) + "\n" + &verdict(&measured) + "\n");
            std::fs::remove_dir_all(&data_dir)?;
        }
        self.destination.publish("questions", &facts, &text)
    }

    fn measure(&self, program: &str, records: u64, data_dir: &Path) -> Result<Vec<Measured>, Failure> {
        let runtime = Runtime::new()?;
        let now = SystemClock.now();
        let fleet = Fleet { machines: MACHINES, ..Fleet::demo(1, records, TimestampUs(now.0 - US_PER_DAY / 24)) };
        let fleet = Fleet { start: TimestampUs(now.0 - (WINDOW_DAYS - 1) * US_PER_DAY), ..fleet };
        let mut stores = runtime.block_on(Stores::create(data_dir))?;
        let filled = runtime.block_on(stores.fill(&fleet, |_| Ok(())))?;
        let remote = stores.remote_questions()?;
        let clickhouse = stores.into_clickhouse();
        eprintln!("{} records are in both stores; merging", filled.records);
        compact(program, data_dir)?;
        clickhouse.query("OPTIMIZE TABLE records FINAL");
        let embedded = runtime.block_on(stored::open(data_dir))?;
        let subject = runtime.block_on(subject(&embedded, now))?;
        let mut sql = Connection::open(clickhouse.address())?;
        let mut measure = |asked: Asked| {
            let mut times = [const { Vec::new() }; 3];
            let mut rows = [0; 2];
            for turn in 0..=self.turns {
                let ours = runtime.block_on(ask(&embedded, now, &asked))?;
                let through = runtime.block_on(ask(&remote, now, &asked))?;
                let direct = send(&mut sql, clickhouse.address(), &asked.sql)?;
                rows = [ours.0, through.0];
                // The first turn warms up.
                if turn > 0 {
                    for (times, time) in times.iter_mut().zip([ours.1, through.1, direct]) {
                        times.push(time);
                    }
                }
            }
            if rows[0] != rows[1] {
                return Err(format!("{}: {rows:?} rows of the two stores", asked.name).into());
            }
            let [embedded_ms, through_us_ms, sql_ms] = times.map(median_ms);
            eprintln!("{}: {embedded_ms:.1} {through_us_ms:.1} {sql_ms:.1} ms", asked.name);
            Ok(Measured { name: asked.name, rows: rows[0], embedded_ms, through_us_ms, sql_ms })
        };
        asked::all(&subject).into_iter().map(&mut measure).collect()
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

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

fn table(measured: &[Measured]) -> String {
    let mut table = Table::new(&[
        "question",
        ">rows",
        ">embedded ms",
        ">ClickHouse through us ms",
        ">its own SQL ms",
        ">embedded / SQL",
        ">(through us - 5 ms) / SQL",
    ]);
    for line in measured {
        table.row([
            line.name.to_owned(),
            line.rows.to_string(),
            format!("{:.1}", line.embedded_ms),
            format!("{:.1}", line.through_us_ms),
            format!("{:.1}", line.sql_ms),
            ratio(line.embedded_ms, line.sql_ms),
            ratio((line.through_us_ms - THROUGH_US_MS).max(0.0), line.sql_ms),
        ]);
    }
    table.text().to_owned()
}

fn verdict(measured: &[Measured]) -> String {
    let mut ratios: Vec<f64> = measured.iter().map(|line| line.embedded_ms / line.sql_ms).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or(0.0);
    let most = ratios.last().copied().unwrap_or(0.0);
    let excess = |line: &Measured| (line.through_us_ms - THROUGH_US_MS) / line.sql_ms;
    let through_us = measured.iter().map(excess).fold(0.0, f64::max);
    let mut table = Table::new(&["what", ">measured", ">target", "holds"]);
    for (what, measured, target) in [
        ("median of embedded / SQL", median, EMBEDDED_TARGETS[0]),
        ("most of embedded / SQL", most, EMBEDDED_TARGETS[1]),
        ("most of (through us - 5 ms) / SQL", through_us, THROUGH_US_TARGET),
    ] {
        let holds = if measured <= target { "yes" } else { "**no**" };
        table.row([what.to_owned(), format!("{measured:.2}"), format!("{target:.2}"), holds.to_owned()]);
    }
    table.text().to_owned()
}
