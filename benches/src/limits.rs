//! The limit that the disk sets: how often a second it makes an append durable.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::histogram::Histogram;

/// Size of the file: its blocks are written once before, so that a sync has only data to write.
const FILE_BYTES: usize = 32 << 20;

/// How fast the disk syncs.
#[derive(Debug, Clone, Default)]
pub struct Syncs {
    /// How long each append and its fdatasync took.
    pub latency: Histogram,
    /// Seconds of all of them together.
    pub elapsed_s: f64,
}

impl Syncs {
    /// Syncs a second, one after the other; 0 when nothing was measured.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
    pub fn rate(&self) -> f64 {
        if self.elapsed_s > 0.0 { self.latency.count() as f64 / self.elapsed_s } else { 0.0 }
    }

    /// Adds another slice.
    pub fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.elapsed_s += other.elapsed_s;
    }
}

/// A file on the disk in question.
#[derive(Debug)]
pub struct Disk {
    file: File,
}

impl Disk {
    /// Makes the file in `directory`; nobody else sees it, and it goes away with this.
    ///
    /// # Errors
    /// When the disk has no space for it.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        file.write_all_at(&vec![0; FILE_BYTES], 0)?;
        file.sync_all()?;
        Ok(Self { file })
    }

    /// Appends `append_bytes` and syncs, again and again for `duration`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn measure(&self, append_bytes: usize, duration: Duration) -> io::Result<Syncs> {
        let append = vec![0xa5; append_bytes.clamp(1, FILE_BYTES)];
        let (mut syncs, mut offset, begin) = (Syncs::default(), 0, Instant::now());
        while begin.elapsed() < duration {
            if offset + append.len() > FILE_BYTES {
                offset = 0;
            }
            let before = Instant::now();
            self.file.write_all_at(&append, offset as u64)?;
            self.file.sync_data()?;
            syncs.latency.record(before.elapsed());
            offset += append.len();
        }
        syncs.elapsed_s = begin.elapsed().as_secs_f64();
        Ok(syncs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_of_any_size_are_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Disk::new(directory.path()).expect("a file");
        for append_bytes in [0, 100, FILE_BYTES, FILE_BYTES + 1] {
            let syncs = disk.measure(append_bytes, Duration::from_millis(1)).expect("a disk that works");
            assert!(syncs.rate() > 0.0, "{append_bytes}");
        }
        assert!(directory.path().read_dir().expect("a directory").next().is_none());
    }
}
