//! A real PostgreSQL for tests, as Debian packages it: one process per test that wants one, reached through a socket.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::disk::is_root;
use crate::process::Process;

/// Where Debian puts the programs of a server, one directory for each version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// The server refuses to run as root; the package makes this user.
const USER: &str = "postgres";
/// The superuser inside of it.
const OWNER: &str = "tester";

/// A running server and its directory; both are gone when it is dropped or the test process dies.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    _process: Process,
}

impl Postgres {
    /// Starts a server on an empty directory and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    #[must_use]
    pub fn start() -> Self {
        let dir = TempDir::with_prefix("telemetrics-pg-").expect("a directory for temporary files");
        give_away(dir.path());
        let data = dir.path().join("data");
        let mut initdb = as_user("initdb");
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--username", OWNER, "--pgdata"]);
        let made = initdb.arg(&data).current_dir(dir.path()).output().expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = as_user("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(dir.path()).current_dir(dir.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "log_min_messages=warning"]);
        server.args(["-c", "logging_collector=off"]);
        let process = Process::start(&mut server, dir.path());
        process.wait_for_error(|line| line.contains("ready to accept connections").then_some(()));
        Self { dir, _process: process }
    }

    /// Makes a database of this encoding (`UTF8`, `LATIN1`, `SQL_ASCII`) with what the SQL text makes.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn create(&self, database: &str, encoding: &str, sql: &[u8]) {
        let create = format!("CREATE DATABASE {database} ENCODING '{encoding}' TEMPLATE template0");
        self.run("postgres", create.as_bytes());
        self.run(database, sql);
    }

    /// Runs SQL text in a database, whose encoding it has.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn run(&self, database: &str, sql: &[u8]) {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", "-d", &self.url(database)]);
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut psql = psql.spawn().expect("psql runs: is postgresql installed? see scripts/setup-tests");
        psql.stdin.take().expect("a pipe").write_all(sql).expect("psql reads");
        let done = psql.wait_with_output().expect("psql ends");
        assert!(done.status.success(), "psql: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// The address of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_of(OWNER, database)
    }

    /// The address of a database for another user; `user` may be `name:password`.
    #[must_use]
    pub fn url_of(&self, user: &str, database: &str) -> String {
        let socket = self.dir.path().display().to_string().replace('/', "%2F");
        format!("postgresql://{user}@{socket}/{database}")
    }

    /// Has users of this name asked for their password from now on.
    ///
    /// # Panics
    /// When the server's files cannot be written.
    pub fn ask_password_of(&self, user: &str) {
        let file = self.dir.path().join("data/pg_hba.conf");
        let rules = fs::read_to_string(&file).expect("the server's rules");
        fs::write(&file, format!("local all {user} scram-sha-256\n{rules}")).expect("written");
        self.run("postgres", b"SELECT pg_reload_conf()");
    }
}

/// A program of the newest installed version; as another user when this is root.
fn as_user(program: &str) -> Command {
    let program = programs().join(program);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program);
    command
}

fn programs() -> PathBuf {
    let versions = fs::read_dir(PROGRAMS).map(|entries| entries.flatten().map(|entry| entry.path()));
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.ok().and_then(|versions| versions.filter(|path| number(path).is_some()).max_by_key(number));
    newest.unwrap_or_else(|| panic!("no PostgreSQL in {PROGRAMS}: run scripts/setup-tests")).join("bin")
}

fn give_away(directory: &Path) {
    if is_root() {
        let id = |flag: &str| {
            let output = Command::new("id").args([flag, USER]).output().expect("id runs");
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("the user of PostgreSQL's package")
        };
        chown(directory, Some(id("-u")), Some(id("-g"))).expect("root may give files away");
    }
}
