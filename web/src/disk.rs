//! What the file system of a directory has room for.

use std::io;
use std::path::Path;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes that this process may still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub size_bytes: u64,
    /// Files that there are still names for.
    pub free_files: u64,
    /// Files in all; 0 where names are made as they are needed.
    pub size_files: u64,
}

impl Room {
    /// That of the file system of `directory`.
    ///
    /// # Errors
    /// When the system does not tell, or there is no such directory.
    pub fn at(directory: &Path) -> io::Result<Self> {
        let disk = rustix::fs::statvfs(directory)?;
        Ok(Self {
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            size_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            free_files: disk.f_favail,
            size_files: disk.f_files,
        })
    }
}
