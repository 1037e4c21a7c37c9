//! `stores`: bulk inserts into both stores beside ClickHouse's own of the same rows, and what they take on disk.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use telemetrics_collector::drain::Batch;
use telemetrics_schema::batch::to_batch;
use telemetrics_schema::columns::record_schema;
use telemetrics_schema::generator::{Fleet, SIZE_CORPUS_RECORDS};
use telemetrics_testkit::ClickHouse;
use telemetrics_testkit::http::exchange;

use crate::corpus::{Filled, Stores};
use crate::figures::Figure;
use crate::programs::{Ground, Place, start_server};
use crate::report::{Destination, Table, ratio, thousands};
use crate::size::Size;
use crate::{Failure, original, procfs, stored};

/// Most that records may take, of what they take in the original's table.
const TARGET_SHARE: f64 = 0.2;
/// Whose rows a second are measured.
const INSERTS: [&str; 3] = ["embedded", "ClickHouse through us", "INSERT ... FORMAT Parquet"];
/// Whose bytes a record are measured.
const SIZES: [&str; 3] = ["embedded, as inserted", "embedded, merged", "ClickHouse"];
/// The table that ClickHouse's own insert goes into: as ours, with nothing in it.
const OWN_TABLE: &str = "records_of_parquet";
const INSERT_PARQUET: &str = "INSERT%20INTO%20records_of_parquet%20FORMAT%20Parquet&async_insert=0";
/// As fast as it can: nobody else needs the machine meanwhile. Nothing expires: both stores keep the same records.
const MERGING: &str = "retention = \"off\"\n[maintenance]\ncpu_share_percent = 100\n";
/// Merging is over when the server did next to nothing for so many looks in a row.
const CALM_LOOKS: u32 = 3;
const CALM_CPU: f64 = 0.05;
/// How long a look is. Programs that are not optimised are not measured: there it is enough that nothing fails.
const LOOK: Duration = Duration::from_millis(if cfg!(debug_assertions) { 250 } else { 1_000 });

/// What `stores` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Records of the corpus.
    #[arg(long, value_name = "N", default_value_t = SIZE_CORPUS_RECORDS)]
    records: u64,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

impl Args {
    /// As a part of `report`.
    #[must_use]
    pub fn sized(size: Size, place: &Place, destination: &Destination) -> Self {
        let records = size.pick(2_000, 200_000, SIZE_CORPUS_RECORDS);
        Self { records, place: place.clone(), destination: destination.clone() }
    }

    /// Measures and publishes both tables.
    ///
    /// # Errors
    /// When something cannot be measured.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground_with_clickhouse()?;
        let data_dir = directory.path().join("data");
        let (stores, filled, own) = tokio::runtime::Runtime::new()?.block_on(self.fill(&data_dir))?;
        let before = stored::bytes(&data_dir)?;
        let clickhouse = stores.into_clickhouse();
        compact(&program, &data_dir)?;
        clickhouse.query("OPTIMIZE TABLE records FINAL");
        let merged = stored::bytes(&data_dir)?;
        let bytes = [before, merged, clickhouse_bytes(&clickhouse)?];
        drop(clickhouse);
        let [original, bytes @ ..] = per_record(filled.records, original::bytes(&self.fleet())?, bytes);
        let rates = rates(filled, own);
        let text = format!("{}\n{}", inserts(rates), sizes(original, bytes));
        self.destination.publish("stores", &facts, &text, &figures(rates, original, bytes))
    }

    fn fleet(&self) -> Fleet {
        Fleet::sized(self.records)
    }

    /// Fills both stores and ClickHouse's own table; gives the time of the latter.
    async fn fill(&self, data_dir: &Path) -> Result<(Stores, Filled, Duration), Failure> {
        let mut stores = Stores::create(data_dir).await?;
        stores.clickhouse.query(&format!("CREATE TABLE {OWN_TABLE} AS records"));
        let address = stores.clickhouse.address();
        let mut own = Duration::ZERO;
        let fleet = self.fleet();
        let insert_own = |batch: &Batch| {
            own += insert_parquet(address, batch)?;
            Ok(())
        };
        let filled = stores.fill(&fleet, insert_own).await?;
        Ok((stores, filled, own))
    }
}

/// The time of ClickHouse's own insert of a file that was made before the clock starts.
fn insert_parquet(address: SocketAddr, batch: &Batch) -> Result<Duration, Failure> {
    let rows = to_batch(batch.records().iter().map(AsRef::as_ref))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), record_schema(), Some(properties))?;
    writer.write(&rows)?;
    let body = writer.into_inner()?;
    let length = body.len();
    let head = format!("POST /?query={INSERT_PARQUET} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
    let request = [head.as_bytes(), &body].concat();
    let begin = Instant::now();
    let answer = exchange(address, &request)?;
    if answer.status != 200 {
        return Err(format!("ClickHouse's own insert: {}", answer.text()).into());
    }
    Ok(begin.elapsed())
}

/// Lets a server merge what it wants to merge.
pub(crate) fn compact(program: &str, data_dir: &Path) -> Result<(), Failure> {
    let config = data_dir.join("merging.toml");
    std::fs::write(&config, MERGING)?;
    let server = start_server(program, data_dir, &["--config", &config.display().to_string()]);
    let mut calm = 0;
    while calm < CALM_LOOKS {
        let before = procfs::cpu_seconds(server.process().pid())?;
        std::thread::sleep(LOOK);
        let used = procfs::cpu_seconds(server.process().pid())? - before;
        calm = if used < CALM_CPU * LOOK.as_secs_f64() { calm + 1 } else { 0 };
    }
    Ok(())
}

/// Rows a second of the embedded store, of ClickHouse through us, and of its own insert.
#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn rates(filled: Filled, own: Duration) -> [f64; 3] {
    [filled.embedded, filled.clickhouse, own].map(|time| filled.records as f64 / time.as_secs_f64())
}

/// Bytes a record of the original, and of what ours take.
#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn per_record(records: u64, original: u64, ours: [u64; 3]) -> [f64; 4] {
    [original, ours[0], ours[1], ours[2]].map(|bytes| bytes as f64 / records as f64)
}

fn inserts(rates: [f64; 3]) -> String {
    let mut table = Table::new(&["bulk insert", ">rows/s", ">of INSERT FORMAT Parquet"]);
    for (name, rate) in INSERTS.iter().zip(rates) {
        table.row([(*name).to_owned(), thousands(rate), ratio(rate, rates[2])]);
    }
    table.text().to_owned()
}

fn sizes(original: f64, bytes: [f64; 3]) -> String {
    let mut table = Table::new(&["on disk", ">bytes/record", ">of the original's"]);
    for (name, each) in SIZES.iter().zip(bytes).chain([(&"the original's table in PostgreSQL", original)]) {
        table.row([(*name).to_owned(), format!("{each:.1}"), ratio(each, original)]);
    }
    table.text().to_owned()
}

fn figures(rates: [f64; 3], original: f64, bytes: [f64; 3]) -> Vec<Figure> {
    let rate = |(name, rate): (&&str, f64)| {
        Figure::new(format!("insert {name}"), format!("bulk insert: {name}"), rate, "rows/s")
    };
    let size = |(name, each): (&&str, f64)| {
        let what = format!("on disk: {name}, of what the original takes");
        let share = Figure::new(format!("share {name}"), what, each / original, "").at_most(TARGET_SHARE);
        [share, Figure::new(format!("bytes {name}"), format!("on disk: {name}"), each, "bytes/record")]
    };
    let mut figures: Vec<Figure> = INSERTS.iter().zip(rates).map(rate).collect();
    figures.extend(SIZES.iter().zip(bytes).flat_map(size));
    figures.push(Figure::new("bytes original", "on disk: the original's table", original, "bytes/record"));
    figures
}

fn clickhouse_bytes(clickhouse: &ClickHouse) -> Result<u64, Failure> {
    let sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE table = 'records' AND database = 'default' AND active";
    Ok(clickhouse.query(sql).trim().parse()?)
}
