//! Files that operators write into a directory, views and payload parsers: which there are, and whether one is another than
//! before. To find out, none of them is read.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What their names end in.
pub const ENDING: &str = ".toml";

/// What tells whether a file is the one that was read: another content, name or mode gives it another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// That of a file with this metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), bytes: metadata.size(), changed: (metadata.ctime(), metadata.ctime_nsec()) }
    }

    /// That of the file at `path`; one that cannot be looked at has the same as any other of those.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        std::fs::metadata(path).map_or_else(|_| Self::default(), |metadata| Self::of(&metadata))
    }
}

/// The names of the files in `directory`, in their order.
///
/// # Errors
/// When the directory cannot be read.
pub fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        // What begins with a dot is what editors and tools leave while they write.
        if text.ends_with(ENDING) && !text.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_what_editors_leave_and_other_endings_are_passed_over() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["b.toml", "a.toml", ".a.toml", ".toml", "a.toml~", "a.TOML", "toml"] {
            fs::write(directory.path().join(name), "").expect("written");
        }
        assert_eq!(names(directory.path()).expect("read"), ["a.toml", "b.toml"]);
        assert!(names(&directory.path().join("none")).is_err());
    }

    #[test]
    fn another_content_or_mode_is_another_stamp() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.toml");
        let missing = Stamp::at(&path);
        fs::write(&path, "one").expect("written");
        let first = Stamp::at(&path);
        assert_ne!(first, missing);
        assert_eq!(first, Stamp::at(&path));
        fs::write(&path, "three").expect("written");
        let second = Stamp::at(&path);
        assert_ne!(second, first);
        // The clock of the file system ticks every few milliseconds.
        let other = fs::Permissions::from_mode(0o600);
        let changed = || {
            fs::set_permissions(&path, other.clone()).expect("a mode");
            Stamp::at(&path)
        };
        while changed() == second {}
    }
}
