//! The part of the command line that is about a store and not about serving: `migrate`, `reparse`, `retention` and
//! `store`.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use telemetrics_schema::layout::day_number;

use crate::cli::ServeArgs;
use crate::config::{Config, ConfigError};

/// Which store; everything here goes before the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct StoreArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the journal and of the embedded store [default: ./telemetrics-data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// A ClickHouse server: <http://user:password@host:8123/database>.
    #[arg(long, value_name = "URL")]
    pub clickhouse: Option<String>,
}

/// What `reparse` takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ReparseArgs {
    /// The first UTC day of reception, YYYY-MM-DD [default: the first that there is].
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub from: Option<i32>,
    /// The last one, YYYY-MM-DD [default: the last that there is].
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub to: Option<i32>,
    /// Which store. A server that uses an embedded one has to be stopped; one with ClickHouse may run.
    #[command(flatten)]
    pub store: StoreArgs,
}

impl ReparseArgs {
    /// The days, counted from 1970-01-01.
    #[must_use]
    pub fn days(&self) -> RangeInclusive<i32> {
        self.from.unwrap_or(i32::MIN)..=self.to.unwrap_or(i32::MAX)
    }
}

fn day(text: &str) -> Result<i32, String> {
    day_number(text).ok_or_else(|| "must be a date, YYYY-MM-DD".to_owned())
}

/// What `retention` takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RetentionArgs {
    /// Only say what the configured policy would delete; a server that runs with it deletes by itself.
    #[arg(long, required = true)]
    pub dry_run: bool,
    /// Which store, and the file with the policy.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// What can be done with a whole store.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum StoreCommand {
    /// Bring the records of the embedded store into ClickHouse; one that was broken off goes on where it stopped.
    Move(StoreArgs),
}

impl StoreArgs {
    /// The configuration of the file with these arguments on top.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        let Self { config, data_dir, clickhouse } = self.clone();
        ServeArgs { config, data_dir, clickhouse, ..ServeArgs::default() }.load()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(Cli::into_command)
    }

    #[test]
    fn a_store_is_named_as_for_serve() {
        let Ok(Command::Migrate(args)) = parse("telemetrics migrate --clickhouse http://h/d --data-dir x") else {
            panic!("not migrate")
        };
        let config = args.load().expect("valid");
        assert_eq!(config.store.clickhouse().expect("a server").database, "d");
        assert_eq!(config.data_dir, PathBuf::from("x"));
    }

    #[test]
    fn a_store_is_moved_from_a_directory_to_a_server() {
        let args =
            StoreArgs { data_dir: Some("x".into()), clickhouse: Some("http://h/d".to_owned()), ..StoreArgs::default() };
        let command = parse("telemetrics store move --data-dir x --clickhouse http://h/d").expect("valid");
        assert_eq!(command, Command::Store(StoreCommand::Move(args)));
        assert!(parse("telemetrics store").is_err());
    }

    #[test]
    fn days_to_parse_anew_are_dates_and_all_when_none_is_named() {
        let days = |line: &str| match parse(line) {
            Ok(Command::Reparse(args)) => Some(args.days()),
            _ => None,
        };
        assert_eq!(days("telemetrics reparse"), Some(i32::MIN..=i32::MAX));
        assert_eq!(days("telemetrics reparse --from 1970-01-02 --to 1970-01-03"), Some(1..=2));
        assert_eq!(days("telemetrics reparse --from yesterday"), None);
    }

    #[test]
    fn retention_wants_to_be_told_that_it_is_a_dry_run() {
        let expected = Command::Retention(RetentionArgs { dry_run: true, store: StoreArgs::default() });
        assert_eq!(parse("telemetrics retention --dry-run").expect("valid"), expected);
        assert!(parse("telemetrics retention").is_err());
    }
}
