//! The finished days as files for analysts, made when somebody asks for them.
//!
//! A file is one version of its day. It is made again when its records are no longer those that a question would find:
//! because some of them expire, because the store got others (a replay of the quarantine), because what is derived from
//! them was made anew, or because of another retention policy. Records that expire are left out from the full hour on before they do, so that a file shows no
//! expired record, and changes at most once an hour.

mod shelf;

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telemetrics_analytics::dataset::{self, instants};
use telemetrics_analytics::questions::collectors::last_receptions;
use telemetrics_analytics::sizes::Size;
use telemetrics_analytics::{Analytics, Error};
use telemetrics_collector::Collector;
use telemetrics_schema::layout::date_text;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::US_PER_S;
use telemetrics_schema::{CollectorNumber, TimestampUs};
use tracing::Instrument as _;

pub use shelf::Version;

use crate::error::WebError;
use shelf::Shelf;

/// How long after its end a day may be finished: late batches have arrived by then.
const DAY_OVER_US: i64 = 3_600 * US_PER_S;
/// Files change at these distances.
const STEP_US: i64 = 3_600 * US_PER_S;
/// How long a request waits for files to be made; they are made all the same.
const MAKE_WAIT: Duration = Duration::from_secs(25);

/// The files of finished days; clones share them.
#[derive(Clone)]
pub struct Datasets {
    parts: Arc<Parts>,
}

/// What files of days are made from.
pub struct Sources {
    /// Answers what is in them.
    pub analytics: Arc<Analytics>,
    /// The collector of this process.
    pub own: Option<(CollectorNumber, Collector)>,
    /// Whether others write into the store as well.
    pub is_shared: bool,
}

/// What was served, since the start.
#[derive(Debug, Default)]
pub struct Served {
    /// Answers with a whole file.
    pub whole: AtomicU64,
    /// Answers with a part of one.
    pub parts: AtomicU64,
    /// Answers that the client has it already.
    pub unchanged: AtomicU64,
    /// Bytes of files that were sent.
    pub bytes: AtomicU64,
}

struct Parts {
    sources: Sources,
    directory: PathBuf,
    quota_bytes: u64,
    /// Opened by the first request.
    shelf: Mutex<Option<Shelf>>,
    /// Held while a file is made: one at a time.
    making: tokio::sync::Mutex<()>,
    made: AtomicU64,
    served: Served,
}

/// What the version of a day has to be at some moment.
#[derive(Clone, Copy)]
struct Wanted {
    day: i32,
    stored_rows: u64,
    changes: u64,
    until: TimestampUs,
    needs_file: bool,
}

impl Wanted {
    fn of(day: i32, size: Size, now: TimestampUs, needs_file: bool) -> Self {
        Self { day, stored_rows: size.rows, changes: size.changes, until: step_end(now), needs_file }
    }
}

impl Datasets {
    /// Files in `directory`, which need not exist, of at most `quota_bytes` beside the one that is being made.
    #[must_use]
    pub fn new(sources: Sources, directory: PathBuf, quota_bytes: u64) -> Self {
        let (shelf, making) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        let (made, served) = (AtomicU64::new(0), Served::default());
        Self { parts: Arc::new(Parts { sources, directory, quota_bytes, shelf, making, made, served }) }
    }

    /// The versions of all finished days at `now` that have records, the oldest first.
    ///
    /// # Errors
    /// [`WebError::Unavailable`] while they are being made, and as the store's.
    pub async fn list(&self, now: TimestampUs) -> Result<Vec<Version>, WebError> {
        let parts = Arc::clone(&self.parts);
        in_time(async move { parts.list(now).await }).await
    }

    /// The version of a day at `now` with its file; `None` when the day is not finished or has no records.
    ///
    /// # Errors
    /// As [`Datasets::list`].
    pub async fn open(&self, day: i32, now: TimestampUs) -> Result<Option<(Version, File)>, WebError> {
        let parts = Arc::clone(&self.parts);
        in_time(async move { parts.open(day, now).await }).await
    }

    /// What was served.
    #[must_use]
    pub fn served(&self) -> &Served {
        &self.parts.served
    }

    /// Files that were made since the start.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.parts.made.load(Relaxed)
    }

    /// Bytes of the files that are on the disk; 0 until somebody asks for one.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.lock().as_ref().map_or(0, Shelf::bytes)
    }
}

/// In a task of its own: who asked may go away, what was begun is made.
async fn in_time<T: Send + 'static>(
    work: impl Future<Output = Result<T, WebError>> + Send + 'static,
) -> Result<T, WebError> {
    let slow = || WebError::Unavailable("The files are being made; ask again".to_owned());
    tokio::time::timeout(MAKE_WAIT, tokio::spawn(work.in_current_span()))
        .await
        .map_err(|_| slow())?
        .map_err(unfinished)?
}

/// A text that is equal for equal policies.
fn named(policy: &RetentionPolicy) -> String {
    format!("{policy:?}")
}

fn unfinished(error: impl std::fmt::Display) -> WebError {
    WebError::Question(Error::Internal(format!("making a file: {error}")))
}

impl Parts {
    async fn list(self: &Arc<Self>, now: TimestampUs) -> Result<Vec<Version>, WebError> {
        let sizes = self.sources.analytics.day_sizes().await?;
        self.on_shelf(|shelf| shelf.retain(&sizes.days().map(|(day, _)| day).collect()))?;
        let mut versions = Vec::new();
        for (day, size) in sizes.days().filter(|(day, _)| is_over(*day, now)) {
            let wanted = Wanted::of(day, size, now, false);
            versions.extend(self.current(wanted, now).await?.filter(|version| version.rows > 0));
        }
        Ok(versions)
    }

    async fn open(self: &Arc<Self>, day: i32, now: TimestampUs) -> Result<Option<(Version, File)>, WebError> {
        if !is_over(day, now) {
            return Ok(None);
        }
        let sizes = self.sources.analytics.day_sizes().await?;
        let Some((_, size)) = sizes.days().find(|(of, _)| *of == day) else { return Ok(None) };
        let wanted = Wanted::of(day, size, now, true);
        match self.current(wanted, now).await? {
            Some(version) if version.rows > 0 => self.on_shelf(|shelf| shelf.file(day)),
            _ => Ok(None),
        }
    }

    /// The day's version as it has to be, made where it is missing; `None` when the day is not finished.
    async fn current(self: &Arc<Self>, wanted: Wanted, now: TimestampUs) -> Result<Option<Version>, WebError> {
        if let Some(version) = self.ready(wanted)? {
            return Ok(Some(version));
        }
        let _making = self.making.lock().await;
        if let Some(version) = self.ready(wanted)? {
            return Ok(Some(version));
        }
        // What was finished once stays finished.
        let is_known = self.on_shelf(|shelf| shelf.version(wanted.day).is_some())?;
        if !is_known && !self.is_delivered(wanted.day, now).await? {
            return Ok(None);
        }
        self.make(wanted).await.map(Some)
    }

    fn ready(&self, wanted: Wanted) -> Result<Option<Version>, WebError> {
        let policy = named(&self.sources.analytics.policy());
        self.on_shelf(|shelf| {
            let version = shelf.version(wanted.day)?.clone();
            let is_current = version.stored_rows == wanted.stored_rows
                && version.changes == wanted.changes
                && version.policy == policy
                && version.is_seen_until(wanted.until);
            let is_there = !wanted.needs_file || version.rows == 0 || shelf.file(wanted.day).is_some();
            (is_current && is_there).then_some(version)
        })
    }

    async fn make(self: &Arc<Self>, wanted: Wanted) -> Result<Version, WebError> {
        let path = self.on_shelf(|shelf| shelf.unfinished())?;
        let view = self.sources.analytics.at(wanted.until).await?;
        let written = dataset::write(&view, wanted.day, view.policy(), &path).await;
        let policy = named(view.policy());
        let parts = Arc::clone(self);
        let kept = tokio::task::spawn_blocking(move || {
            let kept = written.map_err(WebError::from).and_then(|written| parts.keep(wanted, policy, written));
            if kept.is_err() {
                let _ = fs::remove_file(&path);
            }
            kept
        });
        kept.await.map_err(unfinished)?
    }

    fn keep(&self, wanted: Wanted, policy: String, written: dataset::Written) -> Result<Version, WebError> {
        let version = Version {
            day: wanted.day,
            rows: written.rows,
            bytes: written.bytes,
            sha256: written.sha256,
            policy,
            stored_rows: wanted.stored_rows,
            changes: wanted.changes,
            first_expiry_us: written.first_expiry.map(|expiry| expiry.0),
        };
        let put = self.on_shelf(|shelf| shelf.put(version.clone()))?;
        put.map_err(|error| WebError::Unavailable(format!("The file of {}: {error}", date_text(wanted.day))))?;
        self.made.fetch_add(1, Relaxed);
        Ok(version)
    }

    /// Whether every collector that was seen in a day has delivered past it.
    async fn is_delivered(&self, day: i32, now: TimestampUs) -> Result<bool, WebError> {
        let Sources { analytics, own, is_shared, .. } = &self.sources;
        let instants = instants(day);
        let own_is_late = own.as_ref().and_then(|(_, collector)| collector.oldest_pending());
        if own_is_late.is_some_and(|oldest| oldest < instants.end) {
            return Ok(false);
        }
        if !is_shared {
            return Ok(true);
        }
        let view = analytics.at(now).await?;
        let mut seen = last_receptions(&view, instants.start, Some(instants.end)).await?;
        if let Some((number, _)) = own {
            seen.remove(&i64::from(number.get()));
        }
        let past = last_receptions(&view, instants.end, None).await?;
        Ok(seen.keys().all(|collector| past.contains_key(collector)))
    }

    fn on_shelf<T>(&self, work: impl FnOnce(&mut Shelf) -> T) -> Result<T, WebError> {
        let mut open = self.lock();
        if let Some(shelf) = &mut *open {
            return Ok(work(shelf));
        }
        let opened = Shelf::open(&self.directory, self.quota_bytes).map_err(|error| {
            WebError::Unavailable(format!("The directory {} cannot be used: {error}", self.directory.display()))
        })?;
        Ok(work(open.insert(opened)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Shelf>> {
        // The shelf is whole after each of its methods, and none of them panics in between.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over(day: i32, now: TimestampUs) -> bool {
    instants(day).end.0 + DAY_OVER_US <= now.0
}

/// The end of the hour that `now` is in.
fn step_end(now: TimestampUs) -> TimestampUs {
    TimestampUs((now.0.div_euclid(STEP_US) + 1) * STEP_US)
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::time::US_PER_DAY;

    use super::*;

    #[test]
    fn a_day_is_over_an_hour_after_its_end() {
        let over = 2 * US_PER_DAY + DAY_OVER_US;
        assert!(is_over(1, TimestampUs(over)) && !is_over(1, TimestampUs(over - 1)));
    }

    #[test]
    fn versions_change_at_the_full_hour() {
        assert_eq!(step_end(TimestampUs(0)), TimestampUs(STEP_US));
        assert_eq!(step_end(TimestampUs(STEP_US - 1)), TimestampUs(STEP_US));
        assert_eq!(step_end(TimestampUs(STEP_US)), TimestampUs(2 * STEP_US));
    }
}
