//! A real ClickHouse for tests: one process per test binary, one database per test.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::{Answer, exchange};
use crate::process::signal;
use crate::repository;

/// Names another `libchdb.so` than the one that scripts/setup-tests installs.
pub const LIBRARY_VARIABLE: &str = "TELEMETRICS_TEST_LIBCHDB";

/// Ports that are tried; below those that the system gives to outgoing connections, so that a server that was killed
/// finds its port free again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Ports in use that are passed over before the test fails.
const PORT_ATTEMPTS: u32 = 50;
/// A server answers after about one second; a machine that builds at the same time needs longer.
const START_LIMIT: Duration = Duration::from_mins(2);
const POLL_DISTANCE: Duration = Duration::from_millis(20);

/// The user that a server has without a configuration, and others in the place of MORE.
const USERS: &str = "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>\
                     <networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default>MORE\
                     </users></clickhouse>";

/// A running server and its directory; both are gone when it is dropped or the test process dies.
#[derive(Debug)]
pub struct ClickHouse {
    dir: TempDir,
    address: SocketAddr,
    process: Option<Child>,
    databases: AtomicU32,
}

impl ClickHouse {
    /// The server that all tests of this binary share; give each test its own [`ClickHouse::create_database`].
    ///
    /// # Panics
    /// As [`ClickHouse::start`].
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ClickHouse> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server on an empty directory and waits until it answers.
    ///
    /// # Panics
    /// When the library is not installed, the server program is not built, or the server does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(new_dir())
    }

    /// As [`ClickHouse::start`], with more users than `default`: elements of the section `users` of its configuration.
    ///
    /// # Panics
    /// As [`ClickHouse::start`].
    #[must_use]
    pub fn start_with_users(users: &str) -> Self {
        let dir = new_dir();
        let file = dir.path().join("users.xml");
        let config = format!("<clickhouse><users_config>{}</users_config></clickhouse>", file.display());
        fs::write(&file, USERS.replace("MORE", users)).expect("a file of users");
        fs::write(dir.path().join("config.xml"), config).expect("a configuration");
        Self::start_in(dir)
    }

    /// As [`ClickHouse::start`], with a directory `backups` for `BACKUP ... TO File(...)`.
    ///
    /// # Panics
    /// As [`ClickHouse::start`].
    #[must_use]
    pub fn start_with_backups() -> Self {
        let dir = new_dir();
        let allowed = dir.path().join("backups");
        let config =
            format!("<clickhouse><backups><allowed_path>{}/</allowed_path></backups></clickhouse>", allowed.display());
        fs::write(dir.path().join("config.xml"), config).expect("a configuration");
        Self::start_in(dir)
    }

    fn start_in(dir: TempDir) -> Self {
        let (address, process) = start_on_a_free_port(dir.path());
        Self { dir, address, process: Some(process), databases: AtomicU32::new(0) }
    }

    /// Kills the server as a crash would; the directory stays.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("a server that runs");
        process.kill().expect("killed");
        process.wait().expect("gone");
    }

    /// Starts the server again after [`ClickHouse::kill`], on the same directory and port.
    ///
    /// # Panics
    /// When it is running, or does not come up.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        let process = try_start(self.dir.path(), self.address);
        self.process = Some(process.unwrap_or_else(|reason| panic!("ClickHouse did not come up again: {reason}")));
    }

    /// Stops the server where it is (SIGSTOP): connections are taken by the system, and nobody answers.
    ///
    /// # Panics
    /// When it is not running.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets the server go on after [`ClickHouse::pause`].
    ///
    /// # Panics
    /// When it is not running.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("a server that runs");
        assert!(signal(name, &process.id().to_string()), "the server is gone");
    }

    /// `http://127.0.0.1:PORT`, the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of the HTTP interface.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's directory: what is put there is gone with it, also when the test process dies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// The server's process id.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a server that runs").id()
    }

    /// Creates a database that no other test has, and gives its name.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.query(&format!("CREATE DATABASE {name}"));
        name
    }

    /// The server's answer to `sql`, tab-separated unless the query says otherwise. Tables need their database's name.
    ///
    /// # Panics
    /// When the query fails.
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// As [`ClickHouse::query`], for queries that may fail.
    ///
    /// # Errors
    /// The server's message, or why there is no answer.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        let answer = post(self.address, sql).map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(answer.text()) } else { Err(answer.text()) }
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

fn new_dir() -> TempDir {
    TempDir::with_prefix("telemetrics-clickhouse-").expect("a directory for temporary files")
}

fn start_on_a_free_port(dir: &Path) -> (SocketAddr, Child) {
    let mut reason = String::new();
    for _ in 0..PORT_ATTEMPTS {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, next_port()));
        match try_start(dir, address) {
            Ok(process) => return (address, process),
            Err(error) => reason = error,
        }
        // Only a port in use is worth another try; a broken installation is not.
        assert!(reason.contains("Address already in use"), "ClickHouse did not come up: {reason}");
    }
    panic!("no free port for ClickHouse after {PORT_ATTEMPTS} attempts: {reason}");
}

/// Another port at each call; test binaries that run at the same time begin at different places.
fn next_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let place = std::process::id().wrapping_mul(97).wrapping_add(call) % u32::from(PORTS.end - PORTS.start);
    PORTS.start + u16::try_from(place).expect("less than the number of ports")
}

fn try_start(dir: &Path, address: SocketAddr) -> Result<Child, String> {
    let log_path = dir.join("server.log");
    let log = File::create(&log_path).map_err(|error| error.to_string())?;
    let mut process = Command::new(server_program())
        .args([library().as_os_str(), dir.as_os_str(), address.port().to_string().as_ref()])
        // The end of this pipe tells the server that the test process is gone.
        .stdin(Stdio::piped())
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log)
        .spawn()
        .map_err(|error| error.to_string())?;
    match wait_until_ready(dir, address, &mut process) {
        Ok(()) => Ok(process),
        Err(reason) => {
            let _ = process.kill();
            let _ = process.wait();
            Err(format!("{reason}; its output: {}", fs::read_to_string(&log_path).unwrap_or_default()))
        }
    }
}

fn wait_until_ready(dir: &Path, address: SocketAddr, process: &mut Child) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < START_LIMIT {
        if let Some(status) = process.try_wait().map_err(|error| error.to_string())? {
            return Err(format!("it ended with {status}"));
        }
        if is_ready(dir, address) {
            return Ok(());
        }
        thread::sleep(POLL_DISTANCE);
    }
    Err(format!("no answer in {} s", START_LIMIT.as_secs()))
}

/// Whether the server of this very directory answers: the port may belong to somebody else's.
fn is_ready(dir: &Path, address: SocketAddr) -> bool {
    let answer = post(address, "SELECT path FROM system.disks WHERE name = 'default'");
    answer.is_ok_and(|answer| answer.status == 200 && Path::new(answer.text().trim_end()) == dir)
}

fn post(address: SocketAddr, sql: &str) -> std::io::Result<Answer> {
    let head =
        format!("POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", sql.len());
    exchange(address, &[head.as_bytes(), sql.as_bytes()].concat())
}

fn library() -> PathBuf {
    let path = match std::env::var_os(LIBRARY_VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => repository().join("target/test-tools/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"),
    };
    assert!(path.is_file(), "{} is missing: run scripts/setup-tests", path.display());
    path
}

/// The program is built beside the test's own (`target/debug/deps/it-...`), with the workspace's tests.
fn server_program() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    let programs = own.ancestors().skip(1).map(|folder| folder.join("clickhouse-testserver"));
    let found = programs.take(2).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("clickhouse-testserver is not built: run cargo build -p telemetrics-testkit"))
}
