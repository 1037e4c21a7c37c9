//! The part of the command line that asks: `query`, `export` and `parsers test`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::ServeArgs;

/// Who is asked: a server that runs, or a store that none uses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct AskedArgs {
    /// A server that runs, <http://host:8080>; without it, the configured store is opened, which no server may use.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "data_dir", "clickhouse"])]
    pub server: Option<url::Url>,
    /// File with the token that the server asks for.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub token_file: Option<PathBuf>,
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

/// What `query` takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct QueryArgs {
    /// One statement that only asks, as `docs/sql.md` describes it.
    #[arg(value_name = "SQL")]
    pub statement: String,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    pub format: QueryFormat,
    /// Into this file instead of the terminal.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Who is asked.
    #[command(flatten)]
    pub asked: AskedArgs,
}

/// What `export` takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ExportArgs {
    /// Received at or after: a date, or an instant as RFC 3339 writes it.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Received before.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// A filter of the records API, as `classification=org.clearlinux/crash/*`; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub filter: Vec<String>,
    /// What the file is.
    #[arg(long, value_enum, default_value_t = ExportFormat::Parquet)]
    pub format: ExportFormat,
    /// The file; `-` is standard output. It is there when it is whole, and not before.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Who is asked.
    #[command(flatten)]
    pub asked: AskedArgs,
}

/// What can be done with payload parsers.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ParsersCommand {
    /// Show what a parser would make of records that are stored; nothing is changed.
    Test(ParserTestArgs),
}

/// What `parsers test` takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ParserTestArgs {
    /// The parser's file (TOML), as `docs/parsers.md` describes it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Of records of this classification, with `*` [default: each that the file names].
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// Of so many records, the newest.
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub limit: u64,
    /// Who is asked.
    #[command(flatten)]
    pub asked: AskedArgs,
}

/// How an answer to a statement is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QueryFormat {
    /// For people.
    Table,
    /// One object.
    Json,
    /// One object a line.
    Ndjson,
    /// RFC 4180.
    Csv,
    /// The stream of Apache Arrow.
    Arrow,
    /// A file of Apache Parquet.
    Parquet,
}

/// What an exported file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A file of Apache Parquet.
    Parquet,
    /// The stream of Apache Arrow.
    Arrow,
    /// RFC 4180.
    Csv,
    /// One object a line.
    Ndjson,
}

impl QueryFormat {
    /// The value of the parameter `format`.
    #[must_use]
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            // What people see is made of typed columns.
            Self::Table | Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }
}

impl ExportFormat {
    /// The value of the parameter `format`.
    #[must_use]
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

impl ExportArgs {
    /// The query string of the export.
    ///
    /// # Errors
    /// As [`Self::filters`].
    pub fn query(&self) -> Result<String, String> {
        let filters = self.filters()?;
        let and = if filters.is_empty() { "" } else { "&" };
        Ok(format!("{filters}{and}format={}", self.format.parameter()))
    }

    /// The part of the query string that says which records.
    ///
    /// # Errors
    /// A sentence about the filter that is none.
    pub fn filters(&self) -> Result<String, String> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for filter in &self.filter {
            let (name, value) =
                filter.split_once('=').ok_or_else(|| format!("--filter {filter}: must be NAME=VALUE"))?;
            query.append_pair(name, value);
        }
        let times = [("received_after", &self.from), ("received_before", &self.to)];
        for (name, time) in times.into_iter().filter_map(|(name, time)| Some((name, time.as_deref()?))) {
            query.append_pair(name, &instant(time));
        }
        Ok(query.finish())
    }
}

/// A date is the beginning of its day.
fn instant(text: &str) -> String {
    if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") }
}

impl AskedArgs {
    /// The store, as other commands take it.
    #[must_use]
    pub fn store(&self) -> ServeArgs {
        let Self { config, data_dir, clickhouse, .. } = self.clone();
        ServeArgs { config, data_dir, clickhouse, ..ServeArgs::default() }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn export(line: &str) -> ExportArgs {
        match Cli::try_parse_from(line.split(' ')).expect("a command line").into_command() {
            Command::Export(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_export_becomes_a_query() {
        let args =
            export("telemetrics export --from 2026-11-01 --to 2026-11-02T01:00:00Z --filter build=1,2 x.parquet");
        let times = "received_after=2026-11-01T00%3A00%3A00Z&received_before=2026-11-02T01%3A00%3A00Z";
        assert_eq!(args.query(), Ok(format!("build=1%2C2&{times}&format=parquet")));
        assert_eq!(export("telemetrics export --format csv -").query().as_deref(), Ok("format=csv"));
        assert!(export("telemetrics export --filter x y").query().expect_err("no filter").contains("NAME=VALUE"));
    }

    #[test]
    fn a_server_and_a_store_are_not_asked_at_the_same_time() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("telemetrics query --server http://h --data-dir d x").is_err());
        assert!(parse("telemetrics query --server http://h --format csv x").is_ok());
        assert!(parse("telemetrics query --server h x").is_err());
    }
}
