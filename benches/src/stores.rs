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
use crate::programs::{Place, build, start_server};
use crate::report::{Destination, Table, ratio, thousands};
use crate::{Failure, machine, procfs, stored};

/// What the original takes of this corpus in its database, with its indexes, in bytes a record.
const ORIGINAL_BYTES: f64 = 887.0;
/// A fifth of the original.
const TARGET_BYTES: f64 = ORIGINAL_BYTES / 5.0;
/// The table that ClickHouse's own insert goes into: as ours, with nothing in it.
const OWN_TABLE: &str = "records_of_parquet";
const INSERT_PARQUET: &str = "INSERT%20INTO%20records_of_parquet%20FORMAT%20Parquet&async_insert=0";
/// As fast as it can: nobody else needs the machine meanwhile.
const MERGING: &str = "[maintenance]\ncpu_share_percent = 100\n";
/// Merging is over when the server did next to nothing for so many looks in a row.
const CALM_LOOKS: u32 = 3;

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
    /// Measures and publishes both tables.
    ///
    /// # Errors
    /// When something cannot be measured.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let program = self.place.program()?;
        build(&["--package", "telemetrics-testkit"])?;
        let directory = self.place.directory()?;
        let facts = machine::facts(directory.path())?;
        let data_dir = directory.path().join("data");
        let (stores, filled, own) = tokio::runtime::Runtime::new()?.block_on(self.fill(&data_dir))?;
        let before = stored::bytes(&data_dir)?;
        let clickhouse = stores.into_clickhouse();
        compact(&program, &data_dir)?;
        clickhouse.query("OPTIMIZE TABLE records FINAL");
        let text = format!(
            "{}\n{}",
            inserts(filled, own),
            sizes(filled.records, before, stored::bytes(&data_dir)?, clickhouse_bytes(&clickhouse)?)
        );
        self.destination.publish("stores", &facts, &text)
    }

    /// Fills both stores and ClickHouse's own table; gives the time of the latter.
    async fn fill(&self, data_dir: &Path) -> Result<(Stores, Filled, Duration), Failure> {
        let mut stores = Stores::create(data_dir).await?;
        stores.clickhouse.query(&format!("CREATE TABLE {OWN_TABLE} AS records"));
        let address = stores.clickhouse.address();
        let mut own = Duration::ZERO;
        let fleet = Fleet::sized(self.records);
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
        std::thread::sleep(Duration::from_secs(1));
        let used = procfs::cpu_seconds(server.process().pid())? - before;
        calm = if used < 0.05 { calm + 1 } else { 0 };
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn inserts(filled: Filled, own: Duration) -> String {
    let rate = |time: Duration| filled.records as f64 / time.as_secs_f64();
    let mut table = Table::new(&["bulk insert", ">rows/s", ">of INSERT FORMAT Parquet"]);
    for (name, time) in [
        ("embedded", filled.embedded),
        ("ClickHouse through us", filled.clickhouse),
        ("INSERT ... FORMAT Parquet", own),
    ] {
        table.row([name.to_owned(), thousands(rate(time)), ratio(rate(time), rate(own))]);
    }
    table.text().to_owned()
}

#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn sizes(records: u64, before: u64, embedded: u64, clickhouse: u64) -> String {
    let mut table = Table::new(&["on disk", ">bytes/record", ">of the original's 887", "target", "holds"]);
    for (name, bytes) in [("embedded, as inserted", before), ("embedded, merged", embedded), ("ClickHouse", clickhouse)]
    {
        let each = bytes as f64 / records as f64;
        let holds = if each <= TARGET_BYTES { "yes" } else { "**no**" };
        let target = format!("{TARGET_BYTES:.0}");
        table.row([name.to_owned(), format!("{each:.1}"), ratio(each, ORIGINAL_BYTES), target, holds.to_owned()]);
    }
    table.text().to_owned()
}

fn clickhouse_bytes(clickhouse: &ClickHouse) -> Result<u64, Failure> {
    let sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE table = 'records' AND database = 'default' AND active";
    Ok(clickhouse.query(sql).trim().parse()?)
}
