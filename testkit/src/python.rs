//! The programs that analysts use, as they are used: Python scripts with DuckDB, pyarrow, pandas and Polars.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Ended, Process};
use crate::repository;

/// Names another directory of Python packages than the one that scripts/setup-tests fills.
pub const PACKAGES_VARIABLE: &str = "TELEMETRICS_TEST_PYTHON";

/// DuckDB loads its extensions from its user's home directory, where `INSTALL` puts them.
const INSTALL_EXTENSIONS: &str = "
import duckdb, importlib.resources
for name in ('delta', 'httpfs'):
    folder = importlib.resources.files('duckdb_extension_' + name) / 'extensions' / ('v' + duckdb.__version__)
    duckdb.sql(f\"INSTALL '{folder / (name + '.duckdb_extension')}'\")
";

/// Python with the packages and a home directory of its own, which goes away with it.
#[derive(Debug)]
pub struct Python {
    packages: PathBuf,
    home: TempDir,
}

/// Ends the program at once: threads of pyarrow that still run when Python takes itself down abort it now and then, after
/// the answer was printed.
const END: &str = "import os, sys\nsys.stdout.flush()\nos._exit(0)";

impl Python {
    /// Installs the extensions of DuckDB into a new home directory.
    ///
    /// # Panics
    /// When the packages are missing.
    #[must_use]
    pub fn new() -> Self {
        let home = TempDir::with_prefix("telemetrics-python-").expect("a directory for temporary files");
        let python = Self { packages: packages(), home };
        python.run(python.home.path(), INSTALL_EXTENSIONS);
        python
    }

    /// Runs `script` in `directory` and gives what it prints.
    ///
    /// # Panics
    /// When it fails; the message holds what it said.
    #[must_use]
    pub fn output(&self, directory: &Path, script: &str) -> String {
        self.run(directory, script).stdout
    }

    fn run(&self, directory: &Path, script: &str) -> Ended {
        let mut command = Command::new("python3");
        command.args(["-c", &format!("{script}\n{END}")]).current_dir(directory);
        command.env("PYTHONPATH", &self.packages).env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", self.home.path());
        let ended = Process::start(&mut command, self.home.path()).wait();
        assert!(ended.status.success(), "{script}\n{}{}", ended.stdout, ended.stderr);
        ended
    }
}

impl Default for Python {
    fn default() -> Self {
        Self::new()
    }
}

fn packages() -> PathBuf {
    let path = match std::env::var_os(PACKAGES_VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => repository().join("target/test-tools/python"),
    };
    assert!(path.is_dir(), "{} is missing: run scripts/setup-tests", path.display());
    path
}
