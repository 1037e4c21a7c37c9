//! A window with a journal that does what the test says.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use telemetrics_schema::time::Clock;
use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

use super::super::{Accepted, Remembered, Window, WindowSettings};
use crate::journal::AppendError;
use crate::testing::TestClock;

/// How long the windows of these tests remember, unless the test says otherwise.
pub(super) const AGE_US: i64 = 1_000;

/// Acknowledged records that are not delivered, and the identifier given last.
#[derive(Default)]
struct Journal {
    pending: Vec<Arc<Record>>,
    last_id: i64,
}

/// A process that can be killed and started again on the same directory.
pub(super) struct Rig {
    _root: tempfile::TempDir,
    pub(super) settings: WindowSettings,
    pub(super) clock: Arc<TestClock>,
    pub(super) window: Window,
    pub(super) remembered: Remembered,
    journal: Arc<Mutex<Journal>>,
}

impl Rig {
    pub(super) fn new(records_max: usize, file_records: usize) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let settings = WindowSettings {
            records_max,
            age: Duration::from_micros(AGE_US.unsigned_abs()),
            file_records,
            ..WindowSettings::new(root.path().join("redelivery"))
        };
        let clock = TestClock::at(TimestampUs(0));
        let (window, remembered) = open(&settings, &clock, Vec::new());
        Self { _root: root, settings, clock, window, remembered, journal: Arc::default() }
    }

    /// Sends a report that the journal takes at once.
    pub(super) async fn accept(&self, report: Report) -> Accepted {
        self.window.accept(report, |report| self.append(report)).await.expect("accepted")
    }

    /// What the journal does with a report.
    pub(super) fn append(
        &self,
        report: Report,
    ) -> impl Future<Output = Result<Arc<Record>, AppendError>> + Send + 'static {
        let (journal, ts_reception) = (Arc::clone(&self.journal), self.clock.now());
        async move {
            let mut journal = journal.lock().expect("no panic");
            journal.last_id += 1;
            let record = Arc::new(Record { id: RecordId(journal.last_id), ts_reception, report });
            journal.pending.push(Arc::clone(&record));
            Ok(record)
        }
    }

    /// What the journal does with several reports at once.
    pub(super) fn append_all(
        &self,
        reports: Vec<Report>,
    ) -> impl Future<Output = (Vec<Arc<Record>>, Option<AppendError>)> + Send + 'static {
        let appends: Vec<_> = reports.into_iter().map(|report| self.append(report)).collect();
        async {
            let mut records = Vec::new();
            for append in appends {
                match append.await {
                    Ok(record) => records.push(record),
                    Err(error) => return (records, Some(error)),
                }
            }
            (records, None)
        }
    }

    /// The first `count` records that are pending.
    pub(super) fn pending(&self, count: usize) -> Vec<Arc<Record>> {
        self.journal.lock().expect("no panic").pending.iter().take(count).cloned().collect()
    }

    /// Delivers the first `count` records that are pending, and confirms them to the journal.
    pub(super) async fn deliver(&self, count: usize) {
        let batch = self.pending(count);
        self.window.delivered(&batch).await.expect("noted");
        self.confirm(batch.len());
    }

    /// Removes the first `count` records from the journal.
    pub(super) fn confirm(&self, count: usize) {
        self.journal.lock().expect("no panic").pending.drain(..count);
    }

    /// Ends the process without a word, and starts it again.
    pub(super) fn restart(&mut self) {
        let pending = self.pending(usize::MAX);
        (self.window, self.remembered) = open(&self.settings, &self.clock, pending);
    }

    /// Files of the log, the oldest first.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        files(&self.settings.directory)
    }
}

pub(super) fn open(
    settings: &WindowSettings,
    clock: &Arc<TestClock>,
    pending: Vec<Arc<Record>>,
) -> (Window, Remembered) {
    let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
    Window::open(settings, clock, pending).expect("opened")
}

/// Files of the log in `directory`, the oldest first.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// A report of format 4 that differs from those of other numbers.
pub(super) fn report(number: usize) -> Report {
    let event_id = format!("{number:032x}");
    Report { record_format_version: 4, event_id, payload: "text\n".to_owned(), ..Report::default() }
}
