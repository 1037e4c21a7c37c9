//! The part of the command line that is about records from elsewhere: `import`.

use std::path::PathBuf;

use clap::Args;

use crate::cli_store::StoreArgs;

/// What `import` takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImportArgs {
    /// Files of records: Parquet or NDJSON as this program exports them, CSV as the original does.
    #[arg(value_name = "FILE", required_unless_present = "postgres")]
    pub files: Vec<PathBuf>,
    /// The database of the original (telemetrics-backend): <postgresql://user@host:5432/telemetry>.
    ///
    /// It is read with psql. A password is better kept in ~/.pgpass than on a command line that others can see.
    #[arg(long, value_name = "URL")]
    pub postgres: Option<String>,
    /// Only read and count: write nothing into the store.
    #[arg(long)]
    pub dry_run: bool,
    /// Write down every refused row here, a line of JSON each.
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,
    /// Where to. A server that uses an embedded store has to be stopped; one with ClickHouse may run.
    #[command(flatten)]
    pub store: StoreArgs,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    #[test]
    fn an_import_has_a_source() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(Cli::into_command);
        let Ok(Command::Import(args)) = parse("telemetrics import --data-dir d a.csv b.parquet") else {
            panic!("no import")
        };
        assert_eq!((args.files.len(), args.store.data_dir), (2, Some("d".into())));
        assert!(parse("telemetrics import --postgres postgresql://h/d --dry-run").is_ok());
        assert!(parse("telemetrics import --data-dir d").is_err());
    }
}
