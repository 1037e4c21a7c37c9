//! Programs that read what operators install; scripts/setup-tests brings them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use telemetrics_testkit::Process;

/// A file or folder of the repository.
pub(super) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The text of a file of the repository.
pub(super) fn text(path: &str) -> String {
    fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A program that scripts/setup-tests installs beside the system's.
pub(super) fn installed(path: &str) -> String {
    let tools =
        std::env::var_os("TELEMETRICS_TEST_TOOLS").map_or_else(|| in_repository("target/test-tools"), PathBuf::from);
    let program = tools.join(path);
    assert!(program.exists(), "{} is missing: run scripts/setup-tests", program.display());
    program.to_string_lossy().into_owned()
}

/// What a command prints, in `dir`; it has to succeed.
pub(super) fn output(dir: &Path, program: &str, args: &[&str]) -> String {
    let ended = Process::start(Command::new(program).args(args).current_dir(dir), Path::new("/nonexistent")).wait();
    assert!(ended.status.success(), "{program} {args:?}\n{}\n{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// All files below a folder of the repository.
pub(super) fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![in_repository(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}
