//! What a long run looks like over time: ten lines, each with the most that was seen in its part of the time.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use telemetrics_testkit::Server;

use crate::figures::Figure;
use crate::histogram::Histogram;
use crate::paced::{Paced, Sent};
use crate::processors::{Processors, Spent};
use crate::readers::{Read, Readers};
use crate::report::{Table, thousands};
use crate::scrape::Metrics;
use crate::{Failure, procfs};

/// Lines of the table.
const LINES: u32 = 10;
/// What is bounded is at the end at most so many times what it was before, where it is measured often; latencies of the
/// rare slow requests vary more.
const GROWTH_MAX: f64 = 1.25;
const LATENCY_GROWTH_MAX: f64 = 2.0;
/// Of the records that are to be sent, what has to get through: a restart takes a moment of every five minutes.
const REACHED: f64 = 0.95;

/// One part of the time.
#[derive(Debug, Clone, Default)]
struct Line {
    until_s: f64,
    elapsed_s: f64,
    created: u64,
    sent_again: u64,
    refused: u64,
    ingest: Histogram,
    pages: Histogram,
    pages_refused: u64,
    resident_mb: f64,
    open_files: f64,
    journal_mb: f64,
    pending: f64,
    files: u64,
    kills: u32,
    spent: Spent,
}

/// All lines until now.
#[derive(Debug)]
pub struct Timeline {
    begin: Instant,
    line_length: Duration,
    line_begin: Instant,
    line: Line,
    lines: Vec<Line>,
    restarts: Vec<Duration>,
    unanswered: u64,
    complaint: String,
    processors: Processors,
}

impl Timeline {
    /// Begins now, for a run of this length.
    #[must_use]
    pub fn new(duration: Duration, processors: Processors) -> Self {
        let now = Instant::now();
        Self {
            processors,
            begin: now,
            line_length: duration / LINES,
            line_begin: now,
            line: Line::default(),
            lines: Vec::new(),
            restarts: Vec::new(),
            unanswered: 0,
            complaint: String::new(),
        }
    }

    /// The server was killed, and ready again after this long.
    pub fn killed(&mut self, restart: Duration) {
        self.restarts.push(restart);
        self.line.kills += 1;
    }

    /// Looks at the server, and at what was sent and read since the last look.
    ///
    /// # Errors
    /// When the server does not say how it is.
    pub fn look(
        &mut self,
        server: &Server,
        data_dir: &Path,
        senders: &Paced,
        readers: &Readers,
    ) -> Result<(), Failure> {
        let memory = procfs::memory(server.process().pid())?;
        let metrics = Metrics::of(server.address())?;
        let line = &mut self.line;
        line.spent += self.processors.look(server.process().pid())?;
        line.resident_mb = line.resident_mb.max(procfs::mb(memory.resident_kib));
        line.open_files = line.open_files.max(metrics.plain("process_open_fds"));
        line.journal_mb = line.journal_mb.max(metrics.get("journal_bytes") / 1e6);
        line.pending = line.pending.max(metrics.get("pending_records"));
        self.note(&senders.take(), readers.take());
        if self.line_begin.elapsed() >= self.line_length {
            self.line.files = data_files(data_dir);
            self.close_line();
        }
        Ok(())
    }

    /// The last of what was sent and read.
    pub fn end(&mut self, sent: &Sent, read: Read) {
        self.unanswered = sent.unanswered;
        self.note(sent, read);
        // What is left of a line is too little for percentiles: it belongs to the one before.
        if let Some(last) = self.lines.last_mut() {
            last.created += self.line.created;
            last.sent_again += self.line.sent_again;
            last.refused += self.line.refused;
            last.pages_refused += self.line.pages_refused;
            last.elapsed_s += self.line_begin.elapsed().as_secs_f64();
        } else {
            self.close_line();
        }
    }

    fn note(&mut self, sent: &Sent, read: Read) {
        self.line.created += sent.created;
        self.line.sent_again += sent.again;
        self.line.refused += sent.refused;
        self.line.ingest.add(&sent.latency);
        self.line.pages.add(&read.latency);
        self.line.pages_refused += read.refused;
        if !read.complaint.is_empty() {
            self.complaint = read.complaint;
        }
    }

    fn close_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        line.until_s = self.begin.elapsed().as_secs_f64();
        line.elapsed_s = self.line_begin.elapsed().as_secs_f64();
        self.line_begin = Instant::now();
        self.lines.push(line);
    }

    /// The table over time, and what was answered badly.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new(&[
            ">until, s",
            ">records/s",
            ">sent again",
            ">p50 ms",
            ">p99 ms",
            ">pages/s",
            ">pages p50 ms",
            ">pages p99 ms",
            ">MB",
            ">open files",
            ">journal MB",
            ">pending",
            ">data files",
            ">kills",
            ">records, processors",
            ">files",
            ">questions",
            ">ClickHouse",
            ">this program",
        ]);
        self.lines.iter().for_each(|line| table.row(line.cells()));
        let complaint = if self.complaint.is_empty() {
            String::new()
        } else {
            format!("\nThe last page that was refused: `{}`\n", self.complaint.replace('`', "'"))
        };
        format!("{}{complaint}", table.text())
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
impl Line {
    fn rate(&self, count: u64) -> f64 {
        count as f64 / self.elapsed_s
    }

    fn cells(&self) -> [String; 19] {
        let processors = |seconds: f64| format!("{:.2}", seconds / self.elapsed_s);
        [
            format!("{:.0}", self.until_s),
            thousands(self.rate(self.created)),
            thousands(self.sent_again as f64),
            ms(&self.ingest, 500),
            ms(&self.ingest, 990),
            format!("{:.1}", self.rate(self.pages.count())),
            ms(&self.pages, 500),
            ms(&self.pages, 990),
            format!("{:.0}", self.resident_mb),
            format!("{:.0}", self.open_files),
            format!("{:.0}", self.journal_mb),
            thousands(self.pending),
            self.files.to_string(),
            self.kills.to_string(),
            processors(self.spent.records_s),
            processors(self.spent.files_s),
            processors(self.spent.questions_s),
            processors(self.spent.clickhouse_s),
            processors(self.spent.own_s),
        ]
    }
}

fn ms(latency: &Histogram, per_mille: u64) -> String {
    format!("{:.1}", latency.quantile(per_mille).as_secs_f64() * 1e3)
}

/// What has to be bounded, and whether it was.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn figures(timeline: &Timeline, rate: f64) -> Vec<Figure> {
    let lines = &timeline.lines;
    let sum = |of: fn(&Line) -> u64| lines.iter().map(of).sum::<u64>() as f64;
    let most = |of: fn(&Line) -> f64| lines.iter().map(of).fold(0.0, f64::max);
    let quantile = |of: fn(&Line) -> &Histogram| {
        let mut all = Histogram::default();
        for line in lines {
            all.add(of(line));
        }
        all.quantile(990).as_secs_f64() * 1e3
    };
    let (created, seconds) = (sum(|line| line.created), lines.iter().map(|line| line.elapsed_s).sum::<f64>());
    let restarts = timeline.restarts.iter().map(Duration::as_secs_f64).fold(0.0, f64::max);
    let growth = |name: &str, what: &str, of: fn(&Line) -> f64| {
        let what = format!("{what}: most in the last third, of the most before");
        Figure::new(format!("growth-{name}"), what, grown(lines, of), "")
    };
    vec![
        Figure::new("rate", "records that were to be sent", rate, "records/s"),
        Figure::new("reached", "records that were answered, of those to be sent", created / (rate * seconds), "")
            .at_least(REACHED),
        Figure::new("memory", "most memory", most(|line| line.resident_mb), "MB"),
        Figure::new("open-files", "most open files", most(|line| line.open_files), ""),
        Figure::new("journal", "largest journal", most(|line| line.journal_mb), "MB"),
        Figure::new("p99", "records, p99", quantile(|line| &line.ingest), "ms"),
        Figure::new("pages-p99", "pages and answers of the API, p99", quantile(|line| &line.pages), "ms"),
        Figure::new("restart", "longest restart after a kill", restarts, "s"),
        growth("memory", "memory", |line| line.resident_mb).at_most(GROWTH_MAX),
        growth("open-files", "open files", |line| line.open_files).at_most(GROWTH_MAX),
        growth("journal", "journal", |line| line.journal_mb).at_most(GROWTH_MAX),
        growth("pending", "records not yet in the store", |line| line.pending).at_most(GROWTH_MAX),
        growth("p99", "p99 of records", |line| p99(&line.ingest)).at_most(LATENCY_GROWTH_MAX),
        growth("pages-p99", "p99 of pages", |line| p99(&line.pages)).at_most(LATENCY_GROWTH_MAX),
        Figure::new("refused", "records that were refused", sum(|line| line.refused), "").at_most(0.0),
        Figure::new("pages-refused", "pages that were refused", sum(|line| line.pages_refused), "").at_most(0.0),
        Figure::new("unanswered", "records that never got an answer", timeline.unanswered as f64, "").at_most(0.0),
    ]
}

fn p99(latency: &Histogram) -> f64 {
    latency.quantile(990).as_secs_f64()
}

/// The most of the last third over the most before it; 1 when there was nothing before.
fn grown(lines: &[Line], of: fn(&Line) -> f64) -> f64 {
    let (before, last) = lines.split_at(lines.len() - lines.len() / 3);
    let most = |lines: &[Line]| lines.iter().map(of).fold(0.0, f64::max);
    if most(before) > 0.0 && !last.is_empty() { most(last) / most(before) } else { 1.0 }
}

/// Files of records below the server's directory.
fn data_files(data_dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(data_dir) else { return 0 };
    let count = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => data_files(&entry.path()),
        _ => u64::from(entry.path().extension().is_some_and(|ending| ending == "parquet")),
    };
    entries.flatten().map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(memory: &[f64]) -> Vec<Line> {
        memory.iter().map(|mb| Line { resident_mb: *mb, ..Line::default() }).collect()
    }

    #[test]
    fn growth_is_that_of_the_last_third() {
        let of = |memory: &[f64]| grown(&lines(memory), |line| line.resident_mb);
        let close = |value: f64, expected: f64| (value - expected).abs() < 1e-9;
        assert!(close(of(&[1.0, 4.0, 2.0, 2.0, 3.0, 1.0]), 0.75));
        assert!(close(of(&[1.0, 1.0, 3.0]), 3.0));
        assert!(close(of(&[1.0]), 1.0) && close(of(&[0.0, 0.0, 5.0]), 1.0));
    }

    #[test]
    fn files_are_counted_in_all_folders() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(directory.path().join("a/b")).expect("folders");
        for name in ["x.parquet", "a/y.parquet", "a/b/z.parquet", "a/b/z.json"] {
            fs::write(directory.path().join(name), "").expect("written");
        }
        assert_eq!(data_files(directory.path()), 3);
        assert_eq!(data_files(&directory.path().join("none")), 0);
    }
}
