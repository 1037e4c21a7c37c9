//! A power cut for tests: directories lose the names that were not synced, and all that is below them.
//!
//! What is written into files and what takes names away counts as synced; other tests have disks that forget those.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The names in each directory that are on the disk.
type Names = HashMap<PathBuf, HashSet<OsString>>;

/// By the directory that is watched over: work is done on threads that know nothing of a test.
static SUPPLIES: Mutex<BTreeMap<PathBuf, Names>> = Mutex::new(BTreeMap::new());

/// The power of all that is below one directory.
pub(crate) struct Power {
    root: PathBuf,
}

impl Power {
    /// Of what is below `root`; all that is there now is on the disk.
    pub(crate) fn of(root: &Path) -> Self {
        let root = root.canonicalize().expect("a directory");
        let mut names = Names::new();
        note_all(&mut names, &root);
        supplies().insert(root.clone(), names);
        Self { root }
    }

    /// Takes away what was not on the disk. Whoever writes there has to be gone.
    pub(crate) fn cut(&self) {
        let supplies = supplies();
        lose(&supplies[&self.root], &self.root);
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        supplies().remove(&self.root);
    }
}

/// The names in the directory are on the disk now.
pub(super) fn synced(path: &Path) {
    change(path, |names, path| {
        names.insert(path.to_owned(), names_in(path));
    });
}

/// The directory is a new one: what was known of another one in its place is wrong.
pub(super) fn made(path: &Path) {
    change(path, |names, path| names.retain(|other, _| !other.starts_with(path)));
}

fn change(path: &Path, change: impl Fn(&mut Names, &Path)) {
    let mut supplies = supplies();
    if supplies.is_empty() {
        return;
    }
    // Of a test that ended while a thread of it still worked.
    let Ok(path) = path.canonicalize() else { return };
    for (_, names) in supplies.iter_mut().filter(|(root, _)| path.starts_with(root)) {
        change(names, &path);
    }
}

fn supplies() -> MutexGuard<'static, BTreeMap<PathBuf, Names>> {
    SUPPLIES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn names_in(directory: &Path) -> HashSet<OsString> {
    fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect()
}

fn note_all(names: &mut Names, directory: &Path) {
    let there = names_in(directory);
    for path in there.iter().map(|name| directory.join(name)).filter(|path| path.is_dir()) {
        note_all(names, &path);
    }
    names.insert(directory.to_owned(), there);
}

fn lose(names: &Names, directory: &Path) {
    let kept = names.get(directory);
    for name in names_in(directory) {
        let path = directory.join(&name);
        match (kept.is_some_and(|kept| kept.contains(&name)), path.is_dir()) {
            (true, true) => lose(names, &path),
            (true, false) => {}
            (false, true) => fs::remove_dir_all(path).expect("removed"),
            (false, false) => fs::remove_file(path).expect("removed"),
        }
    }
}
