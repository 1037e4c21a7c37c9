//! Directories whose names are on the disk: the one place that makes those of what has to survive a power cut.

use std::fs::{self, File};
use std::io;
use std::path::Path;

#[cfg(test)]
pub(crate) mod power;

/// Makes the directory where it is missing, with those above it. When this returns, its name is on the disk, and so are
/// theirs.
///
/// That a directory is there does not say that its name is: a process that was killed before its sync, or whose sync
/// failed, left it so. So the names of those that are there are synced as well. It costs little: what was not changed
/// has nothing to be written.
///
/// # Errors
/// What the system says. No error is that it lets nobody sync the names beside one that is there: it was made by
/// somebody who may do more.
pub fn durable(path: &Path) -> io::Result<()> {
    make_up_to(None, path)
}

/// As [`durable`], for a directory below `root`, whose own name is on the disk.
///
/// # Errors
/// As [`durable`].
pub(crate) fn durable_below(root: &Path, path: &Path) -> io::Result<()> {
    make_up_to(Some(root), path)
}

/// Makes the names in a directory survive a power cut.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    #[cfg(test)]
    power::synced(path);
    Ok(())
}

fn make_up_to(root: Option<&Path>, path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent().filter(|_| root != Some(path)) else { return Ok(()) };
    make_up_to(root, parent)?;
    let is_new = make(path)?;
    match sync(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }) {
        Err(error) if !is_new && may_not_be_synced(&error) => Ok(()),
        outcome => outcome,
    }
}

/// Whether it was missing.
fn make(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    match fs::create_dir(path) {
        // Another thread was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        outcome => {
            outcome?;
            #[cfg(test)]
            power::made(path);
            Ok(true)
        }
    }
}

/// Of a directory that this user may not read, or of a file system that is not written or knows no such sync.
fn may_not_be_synced(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported)
}

#[cfg(test)]
mod tests {
    use super::power::Power;
    use super::*;

    #[test]
    fn a_directory_survives_a_power_cut_with_those_above_it() {
        let root = tempfile::tempdir().expect("a directory");
        let (power, path) = (Power::of(root.path()), root.path().join("a/b/c"));
        durable(&path).expect("made");
        fs::create_dir(path.join("not synced")).expect("made");
        power.cut();
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(&path).expect("a listing").count(), 0, "this test can tell");
    }

    #[test]
    fn what_a_killed_process_left_without_a_sync_is_synced_by_the_next_one() {
        let root = tempfile::tempdir().expect("a directory");
        let (power, path) = (Power::of(root.path()), root.path().join("a/b/c"));
        fs::create_dir_all(&path).expect("made");
        durable(&path).expect("made durable");
        power.cut();
        assert!(path.is_dir());
    }

    #[test]
    fn only_what_is_below_a_durable_directory_is_looked_at() {
        let root = tempfile::tempdir().expect("a directory");
        let (power, below) = (Power::of(root.path()), root.path().join("a"));
        fs::create_dir(&below).expect("made");
        durable_below(&below, &below.join("b/c")).expect("made");
        assert!(below.join("b/c").is_dir());
        power.cut();
        assert!(!below.exists(), "its own name was said to be on the disk");
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("a");
        fs::write(&path, []).expect("written");
        assert!(durable(&path).is_err() && durable(&path.join("b")).is_err());
    }

    #[test]
    fn names_in_the_working_directory_need_no_parent() {
        durable(Path::new("")).expect("it is there");
        durable(Path::new("src")).expect("it is there");
    }
}
