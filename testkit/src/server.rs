//! The real server in a process of its own: on a port that the system chooses, with a directory that goes away.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::disk::SmallDisk;
use crate::http::{Answer, exchange};
use crate::process::{Ended, Process};

/// A server and its directory; both are gone when it is dropped or the test process dies.
#[derive(Debug)]
pub struct Server {
    /// The program and its arguments.
    command: Vec<String>,
    /// What its environment has beside ours.
    variable: Option<(&'static str, &'static str)>,
    dir: TempDir,
    data_dir: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    process: Process,
    address: SocketAddr,
}

impl Server {
    /// Starts `program` with `--listen 127.0.0.1:0 --data-dir <a new directory>` and `args`, and waits until it listens.
    ///
    /// # Panics
    /// When it does not come up; the message holds what it said.
    #[must_use]
    pub fn start(program: &str, args: &[&str]) -> Self {
        Self::start_with_config(program, "", args)
    }

    /// As [`Server::start`], with a configuration file that holds `toml`.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn start_with_config(program: &str, toml: &str, args: &[&str]) -> Self {
        Self::start_as(program, "serve", toml, args)
    }

    /// As [`Server::start_with_config`], where the program does `command` instead of `serve`.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn start_as(program: &str, command: &str, toml: &str, args: &[&str]) -> Self {
        let dir = new_dir();
        let data_dir = dir.path().join("data");
        Self::start_in(dir, data_dir, &[program, command], toml, args)
    }

    /// As [`Server::start_with_config`], with `prefix` before the program: a command that becomes (exec) the one behind it.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn start_behind(prefix: &[&str], program: &str, toml: &str, args: &[&str]) -> Self {
        let dir = new_dir();
        let data_dir = dir.path().join("data");
        Self::start_in(dir, data_dir, &[prefix, &[program, "serve"]].concat(), toml, args)
    }

    /// As [`Server::start_with_config`], with its data on `disk`.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn start_on_disk(disk: &SmallDisk, program: &str, toml: &str, args: &[&str]) -> Self {
        let prefix = disk.prefix();
        let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
        let command = [prefix.as_slice(), &[program, "serve"]].concat();
        Self::start_in(new_dir(), disk.path().join("data"), &command, toml, args)
    }

    /// Starts `program` with exactly `args`, which have to make it listen on port 0, in an empty working directory.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn start_plain(program: &str, args: &[&str]) -> Self {
        let dir = new_dir();
        let data_dir = dir.path().join("data");
        Self::run(dir, data_dir, owned(&[&[program], args].concat()))
    }

    /// As [`Server::start_plain`], with answers that stand for as long as they do by default: to measure it.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn start_as_shipped(program: &str, args: &[&str]) -> Self {
        let dir = new_dir();
        let data_dir = dir.path().join("data");
        Self::run_with(None, dir, data_dir, owned(&[&[program], args].concat()))
    }

    fn start_in(dir: TempDir, data_dir: PathBuf, command: &[&str], toml: &str, args: &[&str]) -> Self {
        let config = dir.path().join("telemetrics.toml");
        fs::write(&config, toml).expect("a configuration file");
        let own = ["--listen", "127.0.0.1:0", "--config", text(&config), "--data-dir", text(&data_dir)];
        let command = owned(&[command, &own, args].concat());
        Self::run(dir, data_dir, command)
    }

    fn run(dir: TempDir, data_dir: PathBuf, command: Vec<String>) -> Self {
        // On a slow machine more would be worth keeping, and what a test has just posted not be seen.
        Self::run_with(Some(("TELEMETRICS_PAGES_AGE_S", "0")), dir, data_dir, command)
    }

    fn run_with(
        variable: Option<(&'static str, &'static str)>,
        dir: TempDir,
        data_dir: PathBuf,
        command: Vec<String>,
    ) -> Self {
        let mut server = Self { command, variable, dir, data_dir, running: None };
        server.restart();
        server
    }

    /// Starts it again on the same directory, with another port.
    ///
    /// # Panics
    /// When it is running, or does not come up.
    pub fn restart(&mut self) {
        let process = self.spawn();
        let address = process.wait_for_output(shown_address);
        self.running = Some(Running { process, address });
    }

    /// Starts it again on the same directory and kills it `after` that, while it may still be reading what it left.
    ///
    /// # Panics
    /// When it is running, or ends by itself.
    pub fn restart_and_kill(&mut self, after: Duration) -> Ended {
        let process = self.spawn();
        thread::sleep(after);
        process.kill()
    }

    fn spawn(&self) -> Process {
        assert!(self.running.is_none(), "the server runs");
        let mut command = Command::new(&self.command[0]);
        let dir = self.dir.path();
        // What the program itself makes in the directory for temporary files goes away with ours, even after a kill.
        command.args(&self.command[1..]).current_dir(dir).env("TMPDIR", dir);
        Process::start(command.envs(self.variable), dir)
    }

    /// Kills it (SIGKILL), as a crash would; the directory stays.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&mut self) -> Ended {
        self.running.take().expect("a server that runs").process.kill()
    }

    /// Asks it to stop (SIGTERM) and waits until it has; the directory stays.
    ///
    /// # Panics
    /// When it is not running or does not stop.
    pub fn terminate(&mut self) -> Ended {
        self.running.take().expect("a server that runs").process.terminate()
    }

    /// Waits until it has ended after a signal of the test; the directory stays.
    ///
    /// # Panics
    /// When it is not running or does not end.
    pub fn ended(&mut self) -> Ended {
        self.running.take().expect("a server that runs").process.wait()
    }

    /// Asks it to stop (SIGTERM), and kills it `after` that unless it is gone by then; the directory stays.
    ///
    /// # Panics
    /// When it is not running.
    pub fn terminate_and_kill(&mut self, after: Duration) -> Ended {
        self.running.take().expect("a server that runs").process.terminate_and_kill(after)
    }

    /// Where it listens; another place after each restart.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running().address
    }

    /// The process, to look at what it said.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.running().process
    }

    /// The directory of journal and store.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    /// The directory that it runs in; it holds the configuration file and, unless that is on a disk of its own,
    /// [`Server::data_dir`].
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `http://127.0.0.1:PORT` and `path`.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The answer to the bytes of a whole request, sent as they are.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn send(&self, request: &[u8]) -> Answer {
        exchange(self.address(), request).unwrap_or_else(|error| panic!("no answer: {error}{}", self.process()))
    }

    /// The answer to `GET path`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address()).as_bytes())
    }

    /// The body of the answer to `GET path`, which has to be 200 and JSON.
    ///
    /// # Panics
    /// When it is anything else.
    #[must_use]
    pub fn get_json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.text()))
    }

    /// The answer to `POST /` with `headers`, a length and `body`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.post_to("/", headers, body)
    }

    /// The answer to `POST path` with `headers`, a length and `body`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn post_to(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head =
            format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", self.address(), body.len());
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        self.send(&[head.as_bytes(), b"\r\n", body].concat())
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("a server that runs")
    }
}

fn new_dir() -> TempDir {
    TempDir::with_prefix("telemetrics-server-").expect("a directory for temporary files")
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of temporary files that is text")
}

/// The address in a line of the greeting: that of the API, or of where probes post when there is no API.
fn shown_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("://")?;
    let rest = rest.trim_end();
    rest.strip_suffix("/api/records").or_else(|| rest.strip_suffix("/v2/collector"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_lines_of_api_and_probes() {
        let address = "127.0.0.1:4321".parse().expect("an address");
        assert_eq!(shown_address("  API      http://127.0.0.1:4321/api/records"), Some(address));
        assert_eq!(shown_address("  API      https://127.0.0.1:4321/api/records"), Some(address));
        assert_eq!(shown_address("  probes   server=http://127.0.0.1:4321/v2/collector"), Some(address));
        assert_eq!(shown_address("  pages    http://127.0.0.1:4321/telemetryui/"), None);
        assert_eq!(shown_address("telemetrics 0.1.0"), None);
    }
}
