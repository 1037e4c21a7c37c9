//! The log: the part of the window's memory that survives the process, in files of a limited number of entries.
//!
//! Appending goes on in the newest file behind its last whole entry, or in a new one when that is full or its last
//! write failed. A file goes when those behind it hold enough, or when everything in it is too old.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use telemetrics_schema::TimestampUs;

use super::fingerprint::Key;
use super::format::{ENTRY_BYTES, HEADER_BYTES, Header, header, read_entries, read_header, write_entry};
use super::table::Entry;
use super::{WindowError, WindowSettings};

const EXTENSION: &str = ".seen";

/// What reading the log came upon beside its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Damage {
    /// Entries whose checksum is wrong.
    pub(super) entries: usize,
    /// Files without a readable header; they were removed.
    pub(super) files: usize,
}

/// One file of the log.
struct Segment {
    sequence: u64,
    /// Entries that have a place in it, damaged ones included.
    entries: usize,
    /// The latest reception among them.
    newest: TimestampUs,
}

impl Segment {
    fn bytes(&self) -> u64 {
        (HEADER_BYTES + self.entries * ENTRY_BYTES) as u64
    }
}

/// See the module.
pub(super) struct Log {
    settings: WindowSettings,
    /// The directory, to make creations durable.
    handle: File,
    /// What the fingerprints in it are made with.
    key: Key,
    /// The oldest first.
    segments: VecDeque<Segment>,
    /// The newest segment, unless there is none or nobody knows what its last write left.
    open: Option<File>,
    next_sequence: u64,
}

impl Log {
    /// Reads all files, the oldest first, and gives each whole entry to `visit`.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub(super) fn open(settings: &WindowSettings, visit: impl FnMut(Entry)) -> Result<(Self, Damage), WindowError> {
        let directory = &settings.directory;
        let handle = create(directory).map_err(WindowError::io(format!("create {}", directory.display())))?;
        let sequences = list(directory).map_err(WindowError::io(format!("list {}", directory.display())))?;
        let mut log = Self {
            key: key_of(directory, &sequences)?.unwrap_or_else(Key::random),
            next_sequence: sequences.last().map_or(1, |newest| newest + 1),
            settings: settings.clone(),
            handle,
            segments: VecDeque::new(),
            open: None,
        };
        let damage = log.read(&sequences, visit)?;
        log.go_on()?;
        Ok((log, damage))
    }

    /// What the fingerprints of its entries are made with.
    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// Makes `entries` durable.
    ///
    /// # Errors
    /// When the disk refuses: some of them may be durable, and all may be given again.
    pub(super) fn append(&mut self, mut entries: &[Entry]) -> Result<(), WindowError> {
        while !entries.is_empty() {
            let written = self.room().and_then(|room| {
                let (piece, rest) = entries.split_at(room.min(entries.len()));
                self.write(piece).map(|()| rest)
            });
            let action = || format!("write into {}", self.settings.directory.display());
            entries = written.map_err(|error| WindowError::io(action())(error))?;
        }
        Ok(())
    }

    /// Removes the files that nobody needs at `now`; the newest always stays, because the key is in it.
    ///
    /// # Errors
    /// When the disk refuses: the file is tried again the next time.
    pub(super) fn remove_old(&mut self, now: TimestampUs) -> Result<(), WindowError> {
        while self.is_oldest_useless(now)
            && let Some(oldest) = self.segments.front()
        {
            let path = self.path(oldest.sequence);
            remove(&path).map_err(WindowError::io(format!("remove {}", path.display())))?;
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Bytes that its files take.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum()
    }

    fn is_oldest_useless(&self, now: TimestampUs) -> bool {
        let behind: usize = self.segments.iter().skip(1).map(|segment| segment.entries).sum();
        let is_too_old = |oldest: &Segment| now.0.saturating_sub(oldest.newest.0) >= self.settings.age_us();
        let oldest = self.segments.front();
        self.segments.len() > 1 && (behind >= self.settings.records_max || oldest.is_some_and(is_too_old))
    }

    fn read(&mut self, sequences: &[u64], mut visit: impl FnMut(Entry)) -> Result<Damage, WindowError> {
        let mut damage = Damage::default();
        for sequence in sequences {
            let path = self.path(*sequence);
            let bytes = fs::read(&path).map_err(WindowError::io(format!("read {}", path.display())))?;
            if read_header(&bytes) == Header::Known(self.key) {
                let (segment, damaged) = read_segment(*sequence, &bytes, &mut visit);
                self.segments.push_back(segment);
                damage.entries += damaged;
            } else {
                tracing::warn!(file = %path.display(), "a part of the memory of redeliveries is unreadable and removed");
                remove(&path).map_err(WindowError::io(format!("remove {}", path.display())))?;
                damage.files += 1;
            }
        }
        Ok(damage)
    }

    /// Gets the newest file ready for appending.
    fn go_on(&mut self) -> Result<(), WindowError> {
        let Some(newest) = self.segments.back() else { return Ok(()) };
        let (path, bytes) = (self.path(newest.sequence), newest.bytes());
        let open = || {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(bytes)?;
            Ok(file)
        };
        self.open = Some(open().map_err(WindowError::io(format!("open {}", path.display())))?);
        Ok(())
    }

    /// For how many entries the newest file has room, after a new one was begun where that is needed.
    fn room(&mut self) -> io::Result<usize> {
        let room = self.segments.back().map_or(0, |newest| self.settings.file_records.saturating_sub(newest.entries));
        if room > 0 && self.open.is_some() {
            return Ok(room);
        }
        self.begin()?;
        Ok(self.settings.file_records)
    }

    fn begin(&mut self) -> io::Result<()> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let path = self.path(sequence);
        let file = self.create(&path).inspect_err(|_| {
            // What is left of it holds nothing; if it cannot be removed now, the next start does it.
            let _ = remove(&path);
        })?;
        self.segments.push_back(Segment { sequence, entries: 0, newest: TimestampUs(i64::MIN) });
        self.open = Some(file);
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all_at(&header(&self.key), 0)?;
        file.sync_data()?;
        self.handle.sync_all()?;
        Ok(file)
    }

    fn write(&mut self, piece: &[Entry]) -> io::Result<()> {
        // Put back only after success: behind a failed write nobody knows what the file holds.
        let (Some(file), Some(newest)) = (self.open.take(), self.segments.back_mut()) else {
            return Err(io::Error::other("no file is begun"));
        };
        let mut bytes = Vec::with_capacity(piece.len() * ENTRY_BYTES);
        for entry in piece {
            write_entry(&mut bytes, entry);
        }
        file.write_all_at(&bytes, newest.bytes())?;
        file.sync_data()?;
        newest.entries += piece.len();
        newest.newest = piece.iter().map(|entry| entry.ts_reception).fold(newest.newest, TimestampUs::max);
        self.open = Some(file);
        Ok(())
    }

    fn path(&self, sequence: u64) -> PathBuf {
        path_of(&self.settings.directory, sequence)
    }
}

/// The segment in `bytes` up to its last whole entry, and how many before that are damaged.
fn read_segment(sequence: u64, bytes: &[u8], visit: &mut impl FnMut(Entry)) -> (Segment, usize) {
    let mut segment = Segment { sequence, entries: 0, newest: TimestampUs(i64::MIN) };
    let mut whole = 0;
    for (at, entry) in read_entries(bytes).enumerate() {
        if let Some(entry) = entry {
            segment.entries = at + 1;
            segment.newest = segment.newest.max(entry.ts_reception);
            whole += 1;
            visit(entry);
        }
    }
    // What is not whole at the end is what a crash left of a write that was never answered.
    let damaged = segment.entries - whole;
    (segment, damaged)
}

/// The key of the newest file that has one.
fn key_of(directory: &Path, sequences: &[u64]) -> Result<Option<Key>, WindowError> {
    let mut newest = None;
    for sequence in sequences {
        let path = path_of(directory, *sequence);
        let bytes = first_bytes(&path).map_err(WindowError::io(format!("read {}", path.display())))?;
        match read_header(&bytes) {
            Header::Known(key) => newest = Some(key),
            Header::Other(version) => {
                return Err(WindowError::Incompatible(format!("{} has format {version}", path.display())));
            }
            Header::Unreadable => {}
        }
    }
    Ok(newest)
}

fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Sequence numbers of all files, the smallest first.
fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut sequences = Vec::new();
    for entry in fs::read_dir(directory)? {
        sequences.extend(entry?.file_name().to_str().and_then(parse_name));
    }
    sequences.sort_unstable();
    Ok(sequences)
}

fn parse_name(name: &str) -> Option<u64> {
    let sequence = u64::from_str_radix(name.strip_suffix(EXTENSION)?, 16).ok()?;
    (name == name_of(sequence)).then_some(sequence)
}

fn name_of(sequence: u64) -> String {
    format!("{sequence:016x}{EXTENSION}")
}

fn path_of(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(name_of(sequence))
}

fn create(directory: &Path) -> io::Result<File> {
    if !directory.is_dir() {
        fs::create_dir_all(directory)?;
        // Its own entry in the directory above has to survive as well.
        File::open(directory.join(".."))?.sync_all()?;
    }
    File::open(directory)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
