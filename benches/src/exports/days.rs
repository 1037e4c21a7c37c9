//! The file of one finished day: what it takes to make it, and to send it again.

use std::fs::File;
use std::io::Write;

use parquet::file::reader::{FileReader, SerializedFileReader};
use telemetrics_schema::layout::{PARTITION, date_text};
use telemetrics_schema::time::Clock;
use telemetrics_web::clock::SystemClock;

use super::ways::Way;
use crate::Failure;
use crate::client::{Client, nowhere};
use crate::figures::Figure;
use crate::report::{Table, ratio, thousands};
use crate::served::{Kept, Served};

/// Which day: it is finished, and in the middle of what both stores hold.
const DAYS_AGO: i32 = 7;

/// What one day took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    kept: Kept,
    rows: u64,
    bytes: u64,
    /// Seconds of the first request, which makes the file.
    made_s: f64,
    /// Seconds of the second one.
    again_s: f64,
}

impl Day {
    /// Asks for a day twice.
    ///
    /// # Errors
    /// When there is no such file.
    pub(super) fn measure(both: &Served, kept: Kept) -> Result<Self, Failure> {
        let day = date_text(SystemClock.now().day() - DAYS_AGO);
        let path = format!("/datasets/records/{PARTITION}={day}/records.parquet");
        let mut client = Client::open(both.server(kept).address())?;
        let mut file = tempfile::tempfile()?;
        let made = client.get(&path, |bytes| file.write_all(bytes))?;
        let again = client.get(&path, nowhere)?;
        let rows = rows(file)?;
        let [made_s, again_s] = [made, again].map(|received| received.whole.as_secs_f64());
        Ok(Self { kept, rows, bytes: made.bytes, made_s, again_s })
    }

    /// How many rows a second.
    #[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
    fn rates(&self) -> [f64; 2] {
        [self.made_s, self.again_s].map(|seconds| self.rows as f64 / seconds)
    }

    pub(super) fn figures(&self) -> [Figure; 2] {
        let (kept, shown) = (self.kept.name(), Way::Ours(self.kept).shown());
        let [made, again] = self.rates();
        [
            Figure::new(format!("day-made-{kept}"), format!("file of a day, made, {shown}"), made, "rows/s"),
            Figure::new(format!("day-again-{kept}"), format!("file of a day, sent again, {shown}"), again, "rows/s"),
        ]
    }
}

fn rows(file: File) -> Result<u64, Failure> {
    Ok(SerializedFileReader::new(file)?.metadata().file_metadata().num_rows().unsigned_abs())
}

/// What all of them took.
#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
pub(super) fn table(days: &[Day]) -> String {
    let heads = ["file of a day", ">rows", ">bytes/row", ">made, rows/s", ">sent again, rows/s", ">sent again, MB/s"];
    let mut table = Table::new(&heads);
    for day in days {
        let [made, again] = day.rates();
        table.row([
            Way::Ours(day.kept).shown().to_owned(),
            thousands(day.rows as f64),
            ratio(day.bytes as f64, day.rows as f64),
            thousands(made),
            thousands(again),
            thousands(day.bytes as f64 / day.again_s / 1e6),
        ]);
    }
    table.text().to_owned()
}
