//! The log: the part of the window's memory that survives the process, in files of a limited number of entries.
//!
//! Appending goes on in the newest file behind its last whole entry, or in a new one when that is full or its last
//! write failed. A file goes when those behind it hold enough, or when everything in it is too old.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use telemetrics_schema::TimestampUs;

use super::fingerprint::Key;
use super::format::{ENTRY_BYTES, HEADER_BYTES, Header, header, read_entries, read_header, write_entry};
use super::table::Entry;
use super::{WindowError, WindowSettings};
use crate::journal::files::{Directory, Disk, DiskFile};

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
pub(super) struct Log<D: Disk = Directory> {
    settings: WindowSettings,
    disk: D,
    /// What the fingerprints in it are made with.
    key: Key,
    /// The oldest first.
    segments: VecDeque<Segment>,
    /// The newest segment, unless there is none or nobody knows what its last write left.
    open: Option<D::File>,
    next_sequence: u64,
}

impl Log {
    /// Reads all files in the directory, the oldest first, and gives each whole entry to `visit`.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub(super) fn open(settings: &WindowSettings, visit: impl FnMut(Entry)) -> Result<(Self, Damage), WindowError> {
        let directory = &settings.directory;
        let disk = Directory::beside(directory, EXTENSION);
        Self::on(disk.map_err(WindowError::io(format!("create {}", directory.display())))?, settings, visit)
    }
}

impl<D: Disk> Log<D> {
    /// Reads all files on `disk`, the oldest first, and gives each whole entry to `visit`. What was given is durable.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub(super) fn on(
        disk: D,
        settings: &WindowSettings,
        visit: impl FnMut(Entry),
    ) -> Result<(Self, Damage), WindowError> {
        let sequences = disk.list().map_err(WindowError::io(format!("list {}", settings.directory.display())))?;
        let mut log = Self {
            key: Key::random(),
            next_sequence: sequences.last().map_or(1, |newest| newest + 1),
            settings: settings.clone(),
            disk,
            segments: VecDeque::new(),
            open: None,
        };
        log.key = log.known_key(&sequences)?.unwrap_or(log.key);
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
            self.remove(oldest.sequence)?;
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
            let bytes = self.bytes_of(*sequence, u64::MAX)?;
            if read_header(&bytes) == Header::Known(self.key) {
                let (segment, damaged) = read_segment(*sequence, &bytes, &mut visit);
                self.segments.push_back(segment);
                damage.entries += damaged;
            } else {
                let file = self.path(*sequence);
                tracing::warn!(file = %file.display(), "a part of the memory of redeliveries is unreadable and removed");
                self.remove(*sequence)?;
                damage.files += 1;
            }
        }
        Ok(damage)
    }

    /// The key of the newest file that has one.
    fn known_key(&self, sequences: &[u64]) -> Result<Option<Key>, WindowError> {
        let mut newest = None;
        for sequence in sequences {
            match read_header(&self.bytes_of(*sequence, HEADER_BYTES as u64)?) {
                Header::Known(key) => newest = Some(key),
                Header::Other(version) => {
                    let file = self.path(*sequence);
                    return Err(WindowError::Incompatible(format!("{} has format {version}", file.display())));
                }
                Header::Unreadable => {}
            }
        }
        Ok(newest)
    }

    fn bytes_of(&self, sequence: u64, limit: u64) -> Result<Vec<u8>, WindowError> {
        let action = || format!("read {}", self.path(sequence).display());
        self.disk.read(sequence, limit).map_err(|error| WindowError::io(action())(error))
    }

    fn remove(&self, sequence: u64) -> Result<(), WindowError> {
        let action = || format!("remove {}", self.path(sequence).display());
        self.disk.remove(sequence).map_err(|error| WindowError::io(action())(error))
    }

    /// Gets the newest file ready for appending, and makes durable what was read of it.
    ///
    /// The process before may have died before its sync, or behind a failed one, which leaves pages that are read but
    /// never will be on disk: all of it is written again.
    fn go_on(&mut self) -> Result<(), WindowError> {
        let Some(newest) = self.segments.back() else { return Ok(()) };
        let (sequence, end) = (newest.sequence, newest.bytes());
        let bytes = self.bytes_of(sequence, end)?;
        let open = || {
            let file = self.disk.open(sequence)?;
            file.put(0, &bytes)?;
            file.truncate(end)?;
            file.sync_data()?;
            self.disk.sync_directory()?;
            Ok(file)
        };
        let action = || format!("go on with {}", self.path(sequence).display());
        self.open = Some(open().map_err(|error| WindowError::io(action())(error))?);
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
        let file = self.create(sequence).inspect_err(|_| {
            // What is left of it holds nothing; if it cannot be removed now, the next start does it.
            let _ = self.disk.remove(sequence);
        })?;
        self.segments.push_back(Segment { sequence, entries: 0, newest: TimestampUs(i64::MIN) });
        self.open = Some(file);
        Ok(())
    }

    fn create(&self, sequence: u64) -> io::Result<D::File> {
        let file = self.disk.create(sequence)?;
        file.put(0, &header(&self.key))?;
        file.sync_data()?;
        self.disk.sync_directory()?;
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
        file.put(newest.bytes(), &bytes).and_then(|()| file.sync_data()).inspect_err(|_| {
            // What can be read and is perhaps not on disk must not pass for noted after a restart. These entries are
            // given again, and go into another file.
            let _ = file.truncate(newest.bytes());
        })?;
        newest.entries += piece.len();
        newest.newest = piece.iter().map(|entry| entry.ts_reception).fold(newest.newest, TimestampUs::max);
        self.open = Some(file);
        Ok(())
    }

    /// For messages.
    fn path(&self, sequence: u64) -> PathBuf {
        self.settings.directory.join(format!("{sequence:016x}{EXTENSION}"))
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
