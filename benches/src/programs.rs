//! The programs that are measured: where they are, and how they are started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use telemetrics_testkit::{Process, Server};
use tempfile::TempDir;

use crate::bare::READY;
use crate::{Failure, machine};

/// Name of the server's program.
const SERVER: &str = "telemetrics";

/// Which server is measured, and where it keeps its data.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// The server's program [default: the one beside this program; `cargo run` builds it before].
    #[arg(long, value_name = "PATH")]
    pub server: Option<PathBuf>,
    /// Where the server's directory is made: on the disk that is to be measured [default: beside this program].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What every measurement begins with.
#[derive(Debug)]
pub struct Ground {
    /// The server's program.
    pub program: String,
    /// A new directory for data; it is gone when this is dropped.
    pub directory: TempDir,
    /// What has to be known of the machine.
    pub facts: String,
}

impl Place {
    /// The server's program, a directory, and what the machine can do.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub fn ground(&self) -> Result<Ground, Failure> {
        let (program, directory) = (self.program()?, self.directory()?);
        let facts = machine::facts(directory.path())?;
        Ok(Ground { program, directory, facts })
    }

    /// As [`Place::ground`], with the program that is the ClickHouse of measurements.
    ///
    /// # Errors
    /// As [`Place::ground`].
    pub fn ground_with_clickhouse(&self) -> Result<Ground, Failure> {
        build_clickhouse()?;
        self.ground()
    }

    /// The server's program; one that nobody named is built from what the repository holds now.
    ///
    /// # Errors
    /// When it is not there or cannot be built.
    pub fn program(&self) -> Result<String, Failure> {
        let program = if let Some(program) = &self.server {
            // It is started in a directory of its own.
            std::path::absolute(program)?
        } else {
            build(&["--package", "telemetrics-web", "--bin", SERVER])?;
            beside()?.join(SERVER)
        };
        if !program.is_file() {
            return Err(format!("{} is missing: run cargo build --release", program.display()).into());
        }
        // Servers run in directories of their own.
        Ok(program.canonicalize()?.display().to_string())
    }

    /// A new directory for data; it is gone when this is dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn directory(&self) -> Result<TempDir, Failure> {
        let parent = match &self.data_dir {
            Some(directory) => directory.clone(),
            None => beside()?,
        };
        Ok(tempfile::Builder::new().prefix("bench-data-").tempdir_in(parent)?)
    }
}

/// Builds the program that is the ClickHouse of measurements, when this one was started by `cargo run`.
///
/// # Errors
/// When it does not compile.
pub fn build_clickhouse() -> Result<(), Failure> {
    build(&["--package", "telemetrics-testkit"])
}

/// Builds another program of the workspace, when this one was started by `cargo run`.
fn build(what: &[&str]) -> Result<(), Failure> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let profile: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
    let status = Command::new(cargo).arg("build").args(profile).arg("--locked").args(what).status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo build {} failed", what.join(" ")).into()) }
}

fn beside() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    Ok(own.parent().ok_or("this program is in no directory")?.to_owned())
}

/// Starts the server with its default settings, `args` on top, and data in `directory`.
///
/// # Panics
/// When it does not come up; the message holds what it said.
#[must_use]
pub fn start_server(program: &str, directory: &Path, args: &[&str]) -> Server {
    start_role(program, "serve", directory, args)
}

/// As [`start_server`], in any role that takes an address and a directory.
///
/// # Panics
/// As [`start_server`].
#[must_use]
pub fn start_role(program: &str, role: &str, directory: &Path, args: &[&str]) -> Server {
    let directory = directory.display().to_string();
    let own = [role, "--listen", "127.0.0.1:0", "--data-dir", &directory];
    Server::start_as_shipped(program, &[&own[..], args].concat())
}

/// The bare handler in a process of its own.
#[derive(Debug)]
pub struct Bare {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    _directory: TempDir,
}

impl Bare {
    /// Starts this program as the bare handler, with answers of `answer_bytes`.
    ///
    /// # Errors
    /// When this program cannot be found.
    ///
    /// # Panics
    /// When the handler does not come up.
    pub fn start(answer_bytes: usize) -> Result<Self, Failure> {
        let directory = TempDir::with_prefix("bench-bare-")?;
        let mut command = Command::new(std::env::current_exe()?);
        let process =
            Process::start(command.args(["bare", "--answer-bytes", &answer_bytes.to_string()]), directory.path());
        let address = process.wait_for_output(|line| line.strip_prefix(READY)?.parse().ok());
        Ok(Self { process, address, _directory: directory })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
