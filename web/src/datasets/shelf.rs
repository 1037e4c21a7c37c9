//! The files of days on disk: one version of each day, described beside it, within a quota.
//!
//! A description outlives its file: what had to make room is made again, with the same bytes, when somebody asks for it.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::layout::date_text;

/// Hexadecimal digits of the hash that stand in the name of a file.
const NAME_DIGITS: usize = 16;

/// The file of one day as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The day, counted from 1970-01-01.
    pub day: i32,
    /// Records in the file; there is no file of none.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// The retention policy that it was made by, as a text that is equal for equal policies.
    pub policy: String,
    /// Rows that the store had of the day, expired ones included.
    pub stored_rows: u64,
    /// What the store gave as the number of the last change of rows of the day.
    pub changes: u64,
    /// Until when all of its records are seen, in Unix microseconds; `None` when none expires.
    pub first_expiry_us: Option<i64>,
}

impl Version {
    /// `YYYY-MM-DD`.
    #[must_use]
    pub fn date(&self) -> String {
        date_text(self.day)
    }

    /// Whether none of its records expires before `until`.
    #[must_use]
    pub fn is_seen_until(&self, until: TimestampUs) -> bool {
        self.first_expiry_us.is_none_or(|expiry| expiry >= until.0)
    }

    fn file_name(&self) -> String {
        format!("{}-{:.NAME_DIGITS$}.parquet", self.date(), self.sha256)
    }

    fn description_name(&self) -> String {
        format!("{}.json", self.date())
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    quota_bytes: u64,
    days: BTreeMap<i32, Kept>,
    /// Counts uses, to know what was not used for longest.
    uses: u64,
    /// Holds the lock of the directory as long as it is open.
    _lock: File,
}

#[derive(Debug)]
struct Kept {
    version: Version,
    has_file: bool,
    last_use: u64,
}

impl Shelf {
    /// Opens the shelf in `directory`, which is made when it is missing. What a killed process left there goes.
    ///
    /// # Errors
    /// When the directory cannot be read or written, or another process has it.
    pub(super) fn open(directory: &Path, quota_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let (directory, lock) = (directory.to_owned(), lock(directory)?);
        let mut shelf = Self { directory, quota_bytes, days: BTreeMap::new(), uses: 0, _lock: lock };
        let names: HashSet<String> = fs::read_dir(&shelf.directory)?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        for name in &names {
            shelf.describe(name, &names);
        }
        let known: HashSet<String> = shelf.days.values().flat_map(Kept::names).collect();
        for name in names.difference(&known) {
            fs::remove_file(shelf.directory.join(name))?;
        }
        Ok(shelf)
    }

    fn describe(&mut self, name: &str, names: &HashSet<String>) {
        let Some((date, "json")) = name.split_once('.') else { return };
        let text = fs::read(self.directory.join(name)).unwrap_or_default();
        // One that cannot be read goes, and its file is made again.
        let Ok(version) = serde_json::from_slice::<Version>(&text) else { return };
        if version.date() == date {
            let has_file = names.contains(&version.file_name());
            self.days.insert(version.day, Kept { version, has_file, last_use: 0 });
        }
    }

    /// The version of that day that was made last.
    #[must_use]
    pub(super) fn version(&self, day: i32) -> Option<&Version> {
        self.days.get(&day).map(|kept| &kept.version)
    }

    /// Its file, open: it can be read whatever becomes of its name. `None` when it is not there.
    pub(super) fn file(&mut self, day: i32) -> Option<(Version, File)> {
        self.uses += 1;
        let kept = self.days.get_mut(&day).filter(|kept| kept.has_file)?;
        let file = File::open(self.directory.join(kept.version.file_name())).ok();
        kept.has_file = file.is_some();
        kept.last_use = self.uses;
        Some((kept.version.clone(), file?))
    }

    /// Where the next file is written before it is put.
    #[must_use]
    pub(super) fn unfinished(&self) -> PathBuf {
        self.directory.join("unfinished.tmp")
    }

    /// Puts what was written to [`Shelf::unfinished`] and synced in the place of the day's version before; others make
    /// room, those first that were not used for longest.
    ///
    /// # Errors
    /// When it is larger than the quota or cannot be put there; the version before stays.
    pub(super) fn put(&mut self, version: Version) -> io::Result<()> {
        if version.bytes > self.quota_bytes {
            return Err(io::Error::other(format!("it has {} bytes, more than datasets.quota_bytes", version.bytes)));
        }
        let name = version.file_name();
        if version.rows > 0 {
            fs::rename(self.unfinished(), self.directory.join(&name))?;
            File::open(&self.directory)?.sync_all()?;
        }
        self.write_description(&version)?;
        self.uses += 1;
        let kept = Kept { has_file: version.rows > 0, last_use: self.uses, version };
        if let Some(before) = self.days.insert(kept.version.day, kept)
            && before.version.file_name() != name
        {
            self.delete(&before.version.file_name());
        }
        self.make_room();
        Ok(())
    }

    fn write_description(&self, version: &Version) -> io::Result<()> {
        let unfinished = self.directory.join("description.tmp");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(version)?)?;
        file.sync_all()?;
        fs::rename(unfinished, self.directory.join(version.description_name()))?;
        File::open(&self.directory)?.sync_all()
    }

    fn make_room(&mut self) {
        while self.bytes() > self.quota_bytes {
            let files = self.days.values_mut().filter(|kept| kept.has_file);
            let Some(oldest) = files.min_by_key(|kept| kept.last_use) else { break };
            oldest.has_file = false;
            let name = oldest.version.file_name();
            self.delete(&name);
        }
    }

    /// Forgets all days but these.
    pub(super) fn retain(&mut self, days: &HashSet<i32>) {
        let gone: Vec<i32> = self.days.keys().filter(|day| !days.contains(day)).copied().collect();
        for day in gone {
            if let Some(kept) = self.days.remove(&day) {
                self.delete(&kept.version.description_name());
                self.delete(&kept.version.file_name());
            }
        }
    }

    /// What stays although it should go is deleted at the next start.
    fn delete(&self, name: &str) {
        if let Err(error) = fs::remove_file(self.directory.join(name))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, name, "a file of a day was not deleted");
        }
    }

    /// Bytes of the files that are there.
    #[must_use]
    pub(super) fn bytes(&self) -> u64 {
        self.days.values().filter(|kept| kept.has_file).map(|kept| kept.version.bytes).sum()
    }
}

fn lock(directory: &Path) -> io::Result<File> {
    let file = File::open(directory)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("it is in use by another process")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Kept {
    fn names(&self) -> impl Iterator<Item = String> {
        [self.version.description_name()].into_iter().chain(self.has_file.then(|| self.version.file_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(day: i32, text: &str) -> Version {
        Version {
            day,
            rows: 1,
            bytes: text.len() as u64,
            sha256: format!("{:064x}", text.len() * 1_000 + usize::from(text.as_bytes()[0])).chars().rev().collect(),
            policy: "p".to_owned(),
            stored_rows: 1,
            changes: 0,
            first_expiry_us: Some(5),
        }
    }

    fn put(shelf: &mut Shelf, day: i32, text: &str) {
        fs::write(shelf.unfinished(), text).expect("written");
        shelf.put(version(day, text)).expect("put");
    }

    fn content(shelf: &mut Shelf, day: i32) -> Option<String> {
        shelf.file(day).map(|(_, file)| io::read_to_string(file).expect("read"))
    }

    fn names(directory: &Path) -> usize {
        fs::read_dir(directory).expect("a directory").count()
    }

    #[test]
    fn a_version_takes_the_place_of_the_one_before_and_outlives_the_process() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut shelf = Shelf::open(dir.path(), 100).expect("a shelf");
        put(&mut shelf, 1, "old");
        let (_, mut reading) = shelf.file(1).expect("a file");
        put(&mut shelf, 1, "newer");
        assert_eq!(io::read_to_string(&mut reading).expect("read"), "old", "who reads it goes on");
        assert!(Shelf::open(dir.path(), 100).expect_err("in use").to_string().contains("another process"));
        drop(shelf);
        fs::write(dir.path().join("unfinished.tmp"), "half").expect("written");
        fs::write(dir.path().join("1970-01-03-0123456789abcdef.parquet"), "nobody's").expect("written");
        let mut shelf = Shelf::open(dir.path(), 100).expect("a shelf");
        assert_eq!(content(&mut shelf, 1).as_deref(), Some("newer"));
        assert_eq!(names(dir.path()), 2);
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut shelf = Shelf::open(dir.path(), 10).expect("a shelf");
        for (day, text) in [(1, "a----"), (2, "b----")] {
            put(&mut shelf, day, text);
        }
        assert_eq!(shelf.bytes(), 10, "all of the quota");
        assert!(content(&mut shelf, 1).is_some());
        put(&mut shelf, 3, "c");
        assert_eq!((content(&mut shelf, 2), shelf.bytes()), (None, 6));
        assert_eq!(shelf.version(2).expect("its description").rows, 1);
        fs::write(shelf.unfinished(), "-----------").expect("written");
        assert!(shelf.put(version(4, "-----------")).is_err(), "larger than the quota");
        assert_eq!(shelf.bytes(), 6);
    }

    #[test]
    fn forgotten_days_leave_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut shelf = Shelf::open(dir.path(), 10).expect("a shelf");
        put(&mut shelf, 1, "a");
        put(&mut shelf, 2, "b");
        shelf.retain(&HashSet::from([2]));
        assert_eq!((shelf.version(1), names(dir.path())), (None, 2));
    }

    #[test]
    fn a_day_without_records_has_a_version_and_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut shelf = Shelf::open(dir.path(), 10).expect("a shelf");
        put(&mut shelf, 1, "a");
        shelf.put(Version { rows: 0, ..version(1, "b") }).expect("put");
        assert_eq!((content(&mut shelf, 1), names(dir.path())), (None, 1));
    }

    #[test]
    fn a_version_is_seen_until_the_instant_that_its_first_record_is() {
        let seen_until = |us| version(1, "a").is_seen_until(TimestampUs(us));
        assert!(seen_until(5) && !seen_until(6));
        assert!(Version { first_expiry_us: None, ..version(1, "a") }.is_seen_until(TimestampUs(i64::MAX)));
    }
}
