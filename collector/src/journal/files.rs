//! The files of the journal: what the journal asks of a disk, and the directory that does it.
//!
//! The other implementation is in the tests: a disk that forgets what was not synced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::JournalError;
use crate::directory;

/// How the names of the journal's segments end.
const EXTENSION: &str = ".journal";
const LOCK: &str = "lock";

/// A directory of segments, locked for this process.
pub(crate) trait Disk: Send + 'static {
    /// A segment that is open for writing.
    type File: DiskFile;

    /// Sequence numbers of all segments, smallest first.
    fn list(&self) -> io::Result<Vec<u64>>;
    /// The first `limit` bytes of a segment, fewer when it is shorter.
    fn read(&self, sequence: u64, limit: u64) -> io::Result<Vec<u8>>;
    /// An empty segment, in the place of an older one of that number.
    fn create(&self, sequence: u64) -> io::Result<Self::File>;
    /// A segment that exists.
    fn open(&self, sequence: u64) -> io::Result<Self::File>;
    /// Removes a segment; its absence is no error.
    fn remove(&self, sequence: u64) -> io::Result<()>;
    /// Makes creations and removals durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// A number that senders of records cannot guess.
    fn salt(&self) -> u64;
    /// Reads segments while others write them.
    fn reader(&self) -> Arc<dyn SegmentReader>;
}

/// Reads pieces of segments, from any thread.
pub(crate) trait SegmentReader: Send + Sync {
    /// So many bytes of a segment from `offset` on; an error when there are fewer.
    fn read_at(&self, sequence: u64, offset: u64, bytes: usize) -> io::Result<Vec<u8>>;
}

/// A segment that is open for writing.
pub(crate) trait DiskFile: Send {
    /// Reserves space and makes the file at least `bytes` long, filled with zeros; does nothing where the file system
    /// cannot.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Writes all `bytes` at `offset`.
    fn put(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file off behind so many bytes.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Makes everything written durable, and of the metadata what is needed to read it back.
    fn sync_data(&self) -> io::Result<()>;
}

/// A real directory.
pub(crate) struct Directory {
    path: PathBuf,
    handle: File,
    extension: &'static str,
    /// Holds the lock as long as it is open; `None` when the directory is only looked at.
    _lock: Option<File>,
}

impl Directory {
    /// Creates the directory where it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        directory::durable(path).map_err(JournalError::io(format!("create {}", path.display())))?;
        let handle = File::open(path).map_err(JournalError::io(format!("open {}", path.display())))?;
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), handle, extension: EXTENSION, _lock: Some(lock) })
    }

    /// Creates the directory where it is missing; for one that the lock of another protects, with files whose names end
    /// with `extension`.
    pub(crate) fn beside(path: &Path, extension: &'static str) -> io::Result<Self> {
        directory::durable(path)?;
        Ok(Self { path: path.to_owned(), handle: File::open(path)?, extension, _lock: None })
    }

    /// The directory as it is, to be read only: neither created nor locked.
    pub(super) fn look(path: &Path) -> Result<Self, JournalError> {
        let handle = File::open(path).map_err(JournalError::io(format!("open {}", path.display())))?;
        Ok(Self { path: path.to_owned(), handle, extension: EXTENSION, _lock: None })
    }

    /// Whether a process has locked the directory at `path`. Changes nothing.
    pub(super) fn is_locked(path: &Path) -> bool {
        let lock = File::open(path.join(LOCK));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    pub(super) fn segment(&self, sequence: u64) -> PathBuf {
        segment_in(&self.path, self.extension, sequence)
    }
}

fn segment_in(directory: &Path, extension: &str, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:016x}{extension}"))
}

/// The segments of a directory.
struct Segments {
    path: PathBuf,
    extension: &'static str,
}

impl SegmentReader for Segments {
    fn read_at(&self, sequence: u64, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; bytes];
        File::open(segment_in(&self.path, self.extension, sequence))?.read_exact_at(&mut buffer, offset)?;
        Ok(buffer)
    }
}

impl Disk for Directory {
    type File = File;

    fn list(&self) -> io::Result<Vec<u64>> {
        let mut sequences = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            sequences.extend(entry?.file_name().to_str().and_then(|name| parse_name(name, self.extension)));
        }
        sequences.sort_unstable();
        Ok(sequences)
    }

    fn read(&self, sequence: u64, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.segment(sequence))?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, sequence: u64) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(self.segment(sequence))
    }

    fn open(&self, sequence: u64) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.segment(sequence))
    }

    fn remove(&self, sequence: u64) -> io::Result<()> {
        match fs::remove_file(self.segment(sequence)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn salt(&self) -> u64 {
        // The standard library seeds its hash maps from the system's randomness, which saves a dependency here.
        RandomState::new().hash_one("segment")
    }

    fn reader(&self) -> Arc<dyn SegmentReader> {
        Arc::new(Segments { path: self.path.clone(), extension: self.extension })
    }
}

impl DiskFile for File {
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match fallocate(self, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn put(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

fn parse_name(name: &str, extension: &str) -> Option<u64> {
    let digits = name.strip_suffix(extension)?;
    let canonical = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if canonical { u64::from_str_radix(digits, 16).ok() } else { None }
}

fn lock(directory: &Path) -> Result<File, JournalError> {
    let path = directory.join(LOCK);
    let action = || JournalError::io(format!("lock {}", path.display()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(action())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked(directory.display().to_string())),
        Err(TryLockError::Error(error)) => Err(action()(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::power::Power;

    #[test]
    fn only_segments_are_listed() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Directory::open(directory.path()).expect("a disk");
        for name in
            ["0000000000000010.journal", "000000000000000A.journal", "1.journal", "0000000000000002.journal.old"]
        {
            fs::write(directory.path().join(name), []).expect("written");
        }
        drop(disk.create(2).expect("created"));
        assert_eq!(disk.list().expect("a list"), [2, 16]);
    }

    #[test]
    fn a_missing_directory_is_created_with_its_parents() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a/b");
        Directory::open(&path).expect("opened");
        assert!(path.is_dir());
    }

    #[test]
    fn it_is_there_after_a_power_cut_also_where_another_made_the_one_above_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let power = Power::of(directory.path());
        let path = directory.path().join("data/journal");
        fs::create_dir(directory.path().join("data")).expect("made");
        drop(Directory::open(&path).expect("opened"));
        drop(Directory::beside(&directory.path().join("data/quarantine"), EXTENSION).expect("opened"));
        power.cut();
        assert!(path.is_dir() && directory.path().join("data/quarantine").is_dir());
    }

    #[test]
    fn two_owners_are_one_too_many() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Directory::open(directory.path()).expect("the first");
        assert!(matches!(Directory::open(directory.path()), Err(JournalError::Locked(_))));
        assert!(Directory::is_locked(directory.path()));
        drop(first);
        assert!(!Directory::is_locked(directory.path()));
        Directory::open(directory.path()).expect("free again");
    }

    #[test]
    fn looking_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("missing");
        assert!(matches!(Directory::look(&missing), Err(JournalError::Io { .. })));
        let disk = Directory::look(directory.path()).expect("a disk");
        assert_eq!(disk.list().expect("a list"), Vec::<u64>::new());
        assert!(!Directory::is_locked(directory.path()));
        assert_eq!(fs::read_dir(directory.path()).expect("a listing").count(), 0);
    }

    #[test]
    fn removing_what_is_not_there_succeeds() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Directory::open(directory.path()).expect("a disk");
        disk.remove(7).expect("nothing to do");
    }

    #[test]
    fn an_allocated_segment_reads_as_zeros_behind_what_was_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Directory::open(directory.path()).expect("a disk");
        let file = disk.create(1).expect("created");
        file.allocate(8).expect("allocated");
        file.put(2, b"ab").expect("written");
        let read = disk.read(1, 100).expect("read");
        assert!(read == b"\0\0ab\0\0\0\0" || read == b"\0\0ab", "{read:?}");
        assert_eq!(disk.read(1, 3).expect("read"), b"\0\0a");
    }
}
