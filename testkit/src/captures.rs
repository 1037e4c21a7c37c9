//! Requests recorded from real probes, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

/// One recorded request.
#[derive(Debug, Clone)]
pub struct Capture {
    /// Name of its file, for messages of failing tests.
    pub name: String,
    /// The whole HTTP/1.1 request as it came over the connection.
    pub bytes: Vec<u8>,
}

/// All recorded requests, by name.
///
/// # Panics
/// When the folder `testdata/captures` of the repository is missing or empty.
#[must_use]
pub fn captures() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/captures");
    let mut captures: Vec<Capture> = request_files(&folder).iter().map(|path| read(path)).collect();
    assert!(!captures.is_empty(), "no recorded requests in {}", folder.display());
    captures.sort_by(|a, b| a.name.cmp(&b.name));
    captures
}

fn request_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect()
}

fn read(path: &Path) -> Capture {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    Capture { name, bytes }
}
