//! A small disk for tests that fill it up: a file system in memory that only this test and its programs see.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::Process;

/// Mounts `$2` with `$1` bytes, says so, and holds the mount until it is killed.
const HOLD: &str = "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && echo mounted && exec sleep 1000000";
const BALLAST: &str = "ballast";
const PIECE_BYTES: usize = 4096;

/// A file system of its own, in a mount namespace of its own; gone when it is dropped or the test process dies.
///
/// Mounting needs root, or a kernel that lets everybody make namespaces of users.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Process,
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts an empty one of that size.
    ///
    /// # Panics
    /// When that is not permitted.
    #[must_use]
    pub fn mount(bytes: u64) -> Self {
        let dir = TempDir::with_prefix("telemetrics-disk-").expect("a directory for temporary files");
        let mut command = Command::new("unshare");
        command.args(if is_root() { ["--mount"].as_slice() } else { &["--map-root-user", "--mount"] });
        command.args(["sh", "-c", HOLD, "sh", &bytes.to_string()]).arg(dir.path());
        let holder = Process::start(&mut command, dir.path());
        holder.wait_for_output(|line| (line == "mounted").then_some(()));
        Self { holder, dir }
    }

    /// Where it is, for programs behind [`SmallDisk::prefix`].
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The command that runs the one behind it where the disk can be seen.
    #[must_use]
    pub fn prefix(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        let user = ["--user", "--preserve-credentials"];
        let mut prefix = vec!["nsenter", "--target", &target, "--mount"];
        prefix.extend(user.iter().filter(|_| !is_root()));
        prefix.into_iter().map(str::to_owned).collect()
    }

    /// Uses up all the space that is left.
    ///
    /// # Panics
    /// When the disk fails otherwise than for want of space.
    pub fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).expect("a file");
        loop {
            match ballast.write_all(&[0; PIECE_BYTES]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("the disk cannot be filled: {error}"),
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] used up.
    ///
    /// # Panics
    /// When there is nothing to give back.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("removed");
    }

    /// The file as this process sees it, which is outside of the namespace.
    fn ballast(&self) -> PathBuf {
        let inside = self.dir.path().strip_prefix("/").expect("a whole path");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside).join(BALLAST)
    }
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").expect("/proc").uid() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_until_it_is_freed_and_only_for_those_behind_the_prefix() {
        let disk = SmallDisk::mount(1 << 20);
        let write = |name: &str| {
            let prefix = disk.prefix();
            let file = disk.path().join(name);
            let mut command = Command::new(&prefix[0]);
            command.args(&prefix[1..]).args(["sh", "-c", "head -c 100000 /dev/zero >\"$1\"", "sh"]).arg(file);
            command.stderr(std::process::Stdio::null()).status().expect("a shell").success()
        };
        assert!(write("first"));
        disk.fill();
        assert!(!write("second"));
        disk.free();
        assert!(write("third"));
        assert!(fs::read_dir(disk.path()).expect("a directory").next().is_none());
    }
}
