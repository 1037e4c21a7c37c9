//! Documents do what they say: their commands are run with the real program, and what they name exists.

mod commands;
mod named;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use telemetrics_testkit::document::{Block, blocks};
use telemetrics_testkit::{Process, Server};

use crate::servers::PROGRAM;

/// The text of all blocks in a language under a heading, of which there has to be one.
pub(crate) fn under(document: &str, heading: &str, language: &str) -> String {
    let is_meant = |block: &Block| block.heading == heading && block.language == language;
    let found: String = blocks(document).into_iter().filter(is_meant).map(|block| block.text).collect();
    assert!(!found.is_empty(), "{document} has no {language} under {heading}");
    found
}

/// What commands print in `directory`, as an operator runs them: the program is found by its name, and `systemctl` reloads the
/// one service that there is.
pub(crate) fn shell(directory: &Path, server: Option<&Server>, script: &str) -> String {
    let signal = server.map_or_else(|| "exit 1".to_owned(), |server| format!("kill -HUP {}", server.process().pid()));
    let script = format!("systemctl() {{ [ \"$*\" = 'reload telemetrics' ] && {signal}; }}\n{script}");
    let path = env::var_os("PATH").unwrap_or_default();
    let own = Path::new(PROGRAM).parent().expect("a directory").to_owned();
    let path = env::join_paths([own].into_iter().chain(env::split_paths(&path))).expect("a path");
    let mut command = Command::new("sh");
    let command = command.args(["-euc", &script]).current_dir(directory).env("PATH", path);
    let ended = Process::start(command, directory).wait();
    assert!(ended.status.success(), "{script}: {}\n{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// A file or a folder of the repository.
fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
