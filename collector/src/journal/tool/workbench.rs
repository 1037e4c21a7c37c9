//! What a repair asks of a disk beyond what a journal does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::super::files::{Directory, Disk};

/// Copies of one segment that a directory may hold; more repairs than that want a person.
const COPIES_MAX: usize = 1_000;

/// See the module.
pub(in super::super) trait Workbench: Disk {
    /// Copies a segment to a file that no journal reads, durably, and tells its name.
    fn set_aside(&self, sequence: u64) -> io::Result<String>;
    /// Makes `bytes` the segment, durably and as a whole.
    fn replace(&self, sequence: u64, bytes: &[u8]) -> io::Result<()>;
}

impl Workbench for Directory {
    fn set_aside(&self, sequence: u64) -> io::Result<String> {
        let (path, mut copy) = new_copy(&self.segment(sequence))?;
        io::copy(&mut File::open(self.segment(sequence))?, &mut copy)?;
        copy.sync_all()?;
        self.sync_directory()?;
        Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    fn replace(&self, sequence: u64, bytes: &[u8]) -> io::Result<()> {
        let path = self.segment(sequence);
        let temporary = path.with_extension("journal.new");
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        self.sync_directory()
    }
}

fn new_copy(segment: &Path) -> io::Result<(PathBuf, File)> {
    for number in 1..=COPIES_MAX {
        let extension = if number == 1 { "journal.damaged".to_owned() } else { format!("journal.damaged.{number}") };
        let path = segment.with_extension(extension);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{COPIES_MAX} copies of a damaged segment are there already")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_never_replace_each_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Directory::open(directory.path()).expect("a disk");
        disk.replace(3, b"one").expect("written");
        assert_eq!(disk.set_aside(3).expect("copied"), "0000000000000003.journal.damaged");
        disk.replace(3, b"two").expect("written");
        assert_eq!(disk.set_aside(3).expect("copied"), "0000000000000003.journal.damaged.2");
        let read = |name| fs::read(directory.path().join(name)).expect("a file");
        assert_eq!(read("0000000000000003.journal.damaged"), b"one");
        assert_eq!(read("0000000000000003.journal.damaged.2"), b"two");
        assert_eq!((disk.list().expect("a list"), disk.read(3, 9).expect("read")), (vec![3], b"two".to_vec()));
    }
}
