//! The command line: what `telemetrics` can be asked to do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use telemetrics_schema::expiry::DAYS_DEFAULT;
use telemetrics_schema::retention::RetentionPolicy;

use crate::cli_access::AccessCommand;
use crate::cli_ask::{ExportArgs, ParsersCommand, QueryArgs};
use crate::cli_doctor::DoctorArgs;
use crate::cli_import::ImportArgs;
use crate::cli_store::{ReparseArgs, RetentionArgs, StoreArgs, StoreCommand};
use crate::config::{Config, ConfigError, Given, Overrides, Value, environment, store};

/// Records of the demo when nobody says otherwise.
pub const DEMO_RECORDS: u64 = 200_000;
/// Most records of the demo.
pub const DEMO_RECORDS_MAX: u64 = 100_000_000;
/// Seed of the demo when nobody says otherwise.
pub const DEMO_SEED: u64 = 1;

/// Receives records of telemetrics probes, keeps them, and answers questions about them.
///
/// Without a command it serves, as `telemetrics serve` does.
#[derive(Debug, Parser)]
#[command(name = "telemetrics", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// One thing that the program does.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Accept records, keep them, and serve API and pages.
    Serve(ServeArgs),
    /// Accept records and bring them into ClickHouse; no pages, no questions.
    Collector(ServeArgs),
    /// Serve API and pages of the records in ClickHouse; accept none.
    Web(ServeArgs),
    /// Serve five weeks of invented records from a temporary directory.
    Demo(DemoArgs),
    /// Look at everything that a server needs, and say what to do about what is wrong; the exit code is 1 when something is.
    Doctor(DoctorArgs),
    /// Look into a journal, or repair one that is damaged.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Ask one statement in SQL, of a server that runs or of a store that none uses.
    Query(QueryArgs),
    /// Write records into a file, of a server that runs or of a store that none uses.
    Export(ExportArgs),
    /// Bring records into the store: from the database of the original, or from files.
    Import(ImportArgs),
    /// Bring the database of a ClickHouse server to the schema of this program.
    Migrate(StoreArgs),
    /// Make what is derived from payloads anew for the records that are stored; run it after an update that derives more.
    Reparse(ReparseArgs),
    /// Try payload parsers.
    #[command(subcommand)]
    Parsers(ParsersCommand),
    /// Say what the retention policy deletes.
    Retention(RetentionArgs),
    /// Say what is configured, and whether it is valid.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say who may see and change what: users and tokens.
    #[command(subcommand)]
    Access(AccessCommand),
    /// Say whether files of views are sound.
    #[command(subcommand)]
    Views(ViewsCommand),
    /// Work on a whole store, while no server uses it.
    #[command(subcommand)]
    Store(StoreCommand),
}

/// What can be done with a journal that no server uses.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum JournalCommand {
    /// Say what is in it, segment by segment: what can be read, and what is lost.
    Inspect(JournalArgs),
    /// Say whether it is sound; the exit code is 1 when it is not.
    Verify(JournalArgs),
    /// Make a damaged one usable, with everything that can be read; damaged segments are copied aside first.
    Repair(RepairArgs),
}

/// What can be asked about views.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ViewsCommand {
    /// Read each file of a directory and plan its statement, without a server and without records; the exit code is 1 when
    /// one of them is broken.
    Check(ViewsArgs),
}

/// Which views.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ViewsArgs {
    /// The directory; without it, that of the configuration.
    pub directory: Option<PathBuf>,
    /// Configuration file (TOML); it says the directory, and how much memory a statement may take.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What can be asked about a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Say whether it is valid: the exit code is 1 when it is not.
    Check(ServeArgs),
    /// Print every setting with its value and where it comes from.
    Show(ServeArgs),
    /// Print a file with every setting, its default and what it does.
    Example,
}

/// What `journal inspect` and `journal verify` take.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct JournalArgs {
    /// Directory of the journal, or the data directory that it is in.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// What `journal repair` takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RepairArgs {
    /// Directory of the journal, or the data directory that it is in.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// What `serve`, `collector` and `web` take; everything here goes before the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct ServeArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Directory of the journal and of the embedded store [default: ./telemetrics-data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Telemetry id that probes may send; may be given several times.
    #[arg(long, value_name = "ID")]
    pub tid: Vec<String>,
    /// Keep records in this ClickHouse server: <http://user:password@host:8123/database>.
    ///
    /// Other users of the machine can see a command line: in production, put the password into a file and name that
    /// file in the configuration.
    #[arg(long, value_name = "URL")]
    pub clickhouse: Option<String>,
}

/// What `demo` takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DemoArgs {
    /// How many records to invent.
    #[arg(long, value_name = "N", default_value_t = DEMO_RECORDS)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=DEMO_RECORDS_MAX))]
    pub records: u64,
    /// Equal seeds invent equal records.
    #[arg(long, value_name = "N", default_value_t = DEMO_SEED)]
    pub seed: u64,
    /// Address and port to listen on [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

impl Command {
    /// Whether it serves as the configuration says, which says how it logs, too. Others have people at a terminal.
    #[must_use]
    pub fn is_configured_service(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Collector(_) | Self::Web(_))
    }
}

impl Cli {
    /// The command that was given; `serve` when none was.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

impl ServeArgs {
    /// The configuration of the file with these arguments on top.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        self.load_in(environment::variables())
    }

    /// The same, in an environment with these variables.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_in(&self, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), self.overrides(variables)?)
    }

    /// What goes before the file: the environment, and before that the command line.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] when a variable is no setting.
    pub fn overrides(&self, variables: impl IntoIterator<Item = (String, String)>) -> Result<Overrides, ConfigError> {
        let given = environment::settings(variables).map_err(ConfigError::Invalid)?;
        let mut overrides = Overrides { given, ..Overrides::default() };
        let mut give = |origin: &str, key, value| overrides.given.push(Given { origin: origin.to_owned(), key, value });
        if let Some(address) = &self.listen {
            give("--listen", "listen", Value::Text(address.clone()));
        }
        if let Some(path) = &self.data_dir {
            give("--data-dir", "data_dir", Value::Path(path.clone()));
        }
        if !self.tid.is_empty() {
            give("--tid", "telemetry_ids", Value::List(self.tid.iter().cloned().map(Value::Text).collect()));
        }
        if let Some(address) = &self.clickhouse {
            store::from_command_line("--clickhouse", address, &mut overrides);
        }
        Ok(overrides)
    }
}

impl DemoArgs {
    /// The default configuration without rules of retention, with its data in `data_dir`.
    #[must_use]
    pub fn config(&self, data_dir: &Path) -> Config {
        let default = Config::default();
        Config {
            listen: self.listen.unwrap_or(default.listen),
            // There is nothing to protect: all of it is invented, and gone when it stops.
            allow_anonymous: true,
            data_dir: data_dir.to_owned(),
            // What was invented is to be seen: no rule makes some of it expire sooner.
            retention: RetentionPolicy::days(DAYS_DEFAULT),
            ..default
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::ClickHouse;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(Cli::into_command)
    }

    fn load(line: &str) -> Result<Config, ConfigError> {
        match parse(line).expect("a command line") {
            Command::Serve(args) => args.load(),
            other => panic!("not serve: {other:?}"),
        }
    }

    fn server(line: &str) -> ClickHouse {
        load(line).expect("valid").store.clickhouse().expect("a server").clone()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_what_it_does_when_nothing_is_said() {
        assert_eq!(load("telemetrics").expect("valid"), Config::default());
        assert_eq!(
            parse("telemetrics --listen [::]:1").expect("valid"),
            parse("telemetrics serve --listen [::]:1").expect("valid")
        );
    }

    #[test]
    fn each_role_takes_the_options_of_serve() {
        let args = ServeArgs { listen: Some("x".to_owned()), ..ServeArgs::default() };
        assert_eq!(parse("telemetrics collector --listen x").expect("valid"), Command::Collector(args.clone()));
        assert_eq!(parse("telemetrics web --listen x").expect("valid"), Command::Web(args));
    }

    #[test]
    fn options_arrive_in_the_configuration() {
        let config = load("telemetrics --listen 127.0.0.1:0 --data-dir d --tid a --tid b").expect("valid");
        assert_eq!(config.listen.port(), 0);
        assert_eq!(config.data_dir, Path::new("d"));
        assert_eq!(config.telemetry_ids, ["a", "b"]);
    }

    #[test]
    fn a_wrong_option_is_named() {
        let message = load("telemetrics --listen 8080").expect_err("no address").to_string();
        assert!(message.starts_with("--listen: `listen` must be an IP address"), "{message}");
        assert!(parse("telemetrics --lisen x").is_err());
        assert!(parse("telemetrics --listen x demo").is_err());
    }

    #[test]
    fn a_journal_is_looked_at_or_repaired_in_a_directory() {
        let directory = PathBuf::from("d");
        let repair = |yes| Command::Journal(JournalCommand::Repair(RepairArgs { directory: directory.clone(), yes }));
        assert_eq!(parse("telemetrics journal repair d").expect("valid"), repair(false));
        assert_eq!(parse("telemetrics journal repair --yes d").expect("valid"), repair(true));
        for bad in ["telemetrics journal", "telemetrics journal verify", "telemetrics journal verify --yes d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn views_are_checked_in_a_directory_or_in_that_of_the_configuration() {
        let check = |args| Command::Views(ViewsCommand::Check(args));
        assert_eq!(parse("telemetrics views check").expect("valid"), check(ViewsArgs::default()));
        let args = ViewsArgs { directory: Some("d".into()), config: Some("c".into()) };
        assert_eq!(parse("telemetrics views check --config c d").expect("valid"), check(args));
    }

    #[test]
    fn options_go_before_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("t.toml");
        std::fs::write(&file, "read_wait_ms = 5\nlisten = \"127.0.0.1:1\"\nstore = \"embedded\"\n").expect("written");
        let line = format!("telemetrics --config {} --listen 127.0.0.1:2 --clickhouse http://h:1", file.display());
        let config = load(&line).expect("valid");
        assert_eq!((config.read_wait_ms, config.listen.port()), (5, 2));
        assert!(config.store.clickhouse().is_some());
    }

    #[test]
    fn an_address_of_clickhouse_is_taken_apart() {
        let whole = server("telemetrics --clickhouse http://wri%40ter:p%2Fa+s%26s@h:8123/logs");
        assert_eq!(whole.url.as_str(), "http://h:8123/");
        assert_eq!(
            (whole.database.as_str(), whole.user.as_str(), whole.password.reveal()),
            ("logs", "wri@ter", "p/a+s&s")
        );
        assert_eq!(server("telemetrics --clickhouse http://h?database=other").database, "other");
        let bare = server("telemetrics --clickhouse http://h:8123");
        assert_eq!((bare.database.as_str(), bare.user.as_str(), bare.password.reveal()), ("default", "default", ""));
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for bad in ["h:8123", "nonsense", "data:x", "http://h?x=1", "mailto:a@b"] {
            let message = load(&format!("telemetrics --clickhouse {bad}")).expect_err(bad).to_string();
            assert!(message.starts_with("--clickhouse: `store.clickhouse.url` must"), "{message}");
        }
    }

    #[test]
    fn the_demo_is_limited_at_both_edges() {
        let demo = |records: u64| parse(&format!("telemetrics demo --records {records}"));
        assert!(demo(0).is_ok() && demo(DEMO_RECORDS_MAX).is_ok());
        assert!(demo(DEMO_RECORDS_MAX + 1).is_err());
        let default = DemoArgs { records: DEMO_RECORDS, seed: DEMO_SEED, listen: None };
        assert_eq!(parse("telemetrics demo").expect("valid"), Command::Demo(default.clone()));
        let retention = RetentionPolicy::days(DAYS_DEFAULT);
        assert_eq!(
            default.config(Path::new("d")),
            Config { data_dir: "d".into(), allow_anonymous: true, retention, ..Config::default() }
        );
    }
}
