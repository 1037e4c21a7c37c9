//! How far an answer is: a line on standard error that is written over, where that is a terminal.
//!
//! What comes does not tell how many records it holds, least of all a Parquet file that is being written. So the records are
//! counted before, and the metrics of the server say how many its exports have read. They are those of one export while no
//! other runs or ends; otherwise the line has bytes only.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use url::Url;

use super::client::Client;
use super::whole;
use crate::pages::text;
use crate::terminal::bar;

/// Time between two looks at how far it is.
const SHOWN_EVERY: Duration = Duration::from_millis(200);
/// How long the records are counted at most: who waits for a file does not want to wait for a bar.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a look at the metrics takes at most.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
/// Largest answers that are read for it, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// See the module.
pub(super) struct Progress<'a> {
    is_shown: bool,
    begun: Instant,
    shown: Option<Instant>,
    bytes: u64,
    counted: Option<Counted<'a>>,
}

/// An export whose records were counted.
struct Counted<'a> {
    client: &'a Client,
    server: &'a Url,
    total: u64,
    before: Exports,
}

/// What the metrics of a server say about its exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exports {
    running: u64,
    ended: u64,
    records: u64,
}

impl<'a> Progress<'a> {
    /// Of an answer that goes into a file, or elsewhere: then nothing is shown.
    pub(super) fn new(is_file: bool) -> Self {
        let is_shown = is_file && io::stderr().is_terminal();
        Self { is_shown, begun: Instant::now(), shown: None, bytes: 0, counted: None }
    }

    /// Counts the records that pass `filters` on `server`, where somebody will see it and the server tells.
    pub(super) async fn counting(mut self, client: &'a Client, server: &'a Url, filters: &str) -> Self {
        if !self.is_shown {
            return self;
        }
        let counting = async {
            let total = total(client, server, filters).await?;
            Some(Counted { client, server, total, before: Exports::of(client, server).await? })
        };
        self.counted = tokio::time::timeout(COUNT_TIMEOUT, counting).await.ok().flatten();
        self.begun = Instant::now();
        self
    }

    pub(super) async fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.is_shown && self.shown.is_none_or(|shown| shown.elapsed() >= SHOWN_EVERY) {
            let far = match &self.counted {
                Some(counted) => counted.done().await.map(|done| (done, counted.total)),
                None => None,
            };
            self.show(far, "");
            self.shown = Some(Instant::now());
        }
    }

    pub(super) fn end(&self) {
        if self.is_shown {
            let total = self.counted.as_ref().map(|counted| counted.total);
            self.show(total.map(|total| (total, total)), "\n");
        }
    }

    fn show(&self, far: Option<(u64, u64)>, end: &str) {
        let per_s = self.bytes / self.begun.elapsed().as_secs().max(1);
        // What is left of a longer line before is erased. Whether anybody sees it does not matter.
        let _ = write!(io::stderr(), "\r{}\x1b[K{end}", line(far, self.bytes, per_s));
    }
}

impl Counted<'_> {
    /// How many of its records were read; `None` where that cannot be told.
    async fn done(&self) -> Option<u64> {
        let looking = Exports::of(self.client, self.server);
        let now = tokio::time::timeout(LOOK_TIMEOUT, looking).await.ok().flatten()?;
        now.of_one_since(self.before).map(|done| done.min(self.total))
    }
}

impl Exports {
    async fn of(client: &Client, server: &Url) -> Option<Self> {
        let metrics = whole(client, server, ("metrics", ""), ANSWER_BYTES_MAX).await.ok()?;
        Self::read(&String::from_utf8(metrics).ok()?)
    }

    fn read(metrics: &str) -> Option<Self> {
        let values = |name: &str| {
            let series = metrics.lines().filter_map(|line| line.strip_prefix(name));
            let values = series.filter(|rest| rest.starts_with([' ', '{']));
            values.map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok()).collect::<Option<Vec<_>>>()
        };
        let sum = |name| values(name).filter(|values| !values.is_empty()).map(|values| values.iter().sum());
        Some(Self {
            running: sum("telemetrics_running_exports")?,
            ended: sum("telemetrics_exports_total")?,
            records: sum("telemetrics_export_records_total")?,
        })
    }

    /// The records of an export that began after `before`, where it is the only one.
    fn of_one_since(self, before: Self) -> Option<u64> {
        let ended = self.ended.checked_sub(before.ended)?;
        let is_alone = before.running == 0 && self.running + ended <= 1;
        is_alone.then(|| self.records.checked_sub(before.records)).flatten()
    }
}

/// How many records pass the filters, where the server tells: who may export need not be one who may read.
async fn total(client: &Client, server: &Url, filters: &str) -> Option<u64> {
    let answer = whole(client, server, ("api/severities", filters), ANSWER_BYTES_MAX).await.ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).ok()?;
    answer["rows"].as_array()?.iter().map(|row| row["records"].as_u64()).sum()
}

fn line(far: Option<(u64, u64)>, bytes: u64, bytes_per_s: u64) -> String {
    let (bytes, per_s) = (text::bytes(bytes), text::bytes(bytes_per_s));
    match far {
        Some((done, total)) => format!("{}  {done} of {total} records, {bytes}, {per_s} a second", bar(done, total)),
        None => format!("{bytes}, {per_s} a second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_bar_where_it_is_known_how_far_it_is() {
        assert_eq!(
            line(Some((1, 2)), 2_048, 1_024),
            "[###############...............]  50 %  1 of 2 records, 2.0 KiB, 1.0 KiB a second"
        );
        assert_eq!(line(None, 2_048, 1_024), "2.0 KiB, 1.0 KiB a second");
    }

    #[test]
    fn metrics_tell_of_an_export_that_is_alone() {
        let metrics = |running: u64, whole: u64, records: u64| {
            let text = format!(
                "# TYPE telemetrics_exports_total counter\ntelemetrics_running_exports {running}\n\
                 telemetrics_exports_total{{outcome=\"whole\"}} {whole}\n\
                 telemetrics_exports_total{{outcome=\"left\"}} 1\ntelemetrics_export_records_total {records}\n"
            );
            Exports::read(&text).expect("three metrics")
        };
        let before = metrics(0, 2, 10);
        assert_eq!(before, Exports { running: 0, ended: 3, records: 10 });
        assert_eq!(metrics(1, 2, 15).of_one_since(before), Some(5));
        assert_eq!(metrics(0, 3, 15).of_one_since(before), Some(5), "its last bytes are on their way");
        assert_eq!(metrics(2, 2, 15).of_one_since(before), None, "another one runs");
        assert_eq!(metrics(1, 3, 15).of_one_since(before), None, "another one ran");
        assert_eq!(metrics(1, 2, 15).of_one_since(metrics(1, 2, 10)), None, "another one ran before");
        assert_eq!(metrics(1, 2, 5).of_one_since(before), None, "another server answers");
        assert_eq!(Exports::read("telemetrics_running_exports 0\n"), None);
    }
}
