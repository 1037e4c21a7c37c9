//! The command line of the measurements.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use telemetrics_benches::{
    Failure, bare, batches, building, exports, growth, ingest, pages, profile, questions, roles, soak, start, stores,
    suite,
};

/// Measures the server beside what the machine allows, and prints tables of ratios.
#[derive(Debug, Parser)]
#[command(name = "telemetrics-benches")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All of them, with a summary of their targets.
    Report(suite::Args),
    /// Single records, under all loads.
    Ingest(ingest::Args),
    /// Batches, beside what ClickHouse takes of the same rows.
    Batches(batches::Args),
    /// Bulk inserts into both stores, and what the same records take on disk in them.
    Stores(stores::Args),
    /// Every question to both stores, beside ClickHouse's own SQL.
    Questions(questions::Args),
    /// All records as files, beside ClickHouse's and DuckDB's.
    Exports(exports::Args),
    /// Pages and answers of the API, on both stores.
    Pages(pages::Args),
    /// Memory of each role, idle and under load.
    Roles(roles::Args),
    /// Every question to stores of several sizes.
    Growth(growth::Args),
    /// Time to the first answers after a start, and the size of the program.
    Start(start::Args),
    /// How long the server takes to compile.
    Building(building::Args),
    /// Everything at the same time for a long while, with kills.
    Soak(soak::Args),
    /// Summary and capacity page anew, from the figures that were measured before.
    Render(suite::RenderArgs),
    /// Where the time goes under single records, by `perf`.
    Profile(profile::Args),
    /// The bare handler, as the other commands start it.
    #[command(hide = true)]
    Bare {
        /// Bytes of each answer's body.
        #[arg(long, value_name = "N")]
        answer_bytes: usize,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("telemetrics-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Report(args) => args.run(),
        Command::Ingest(args) => args.run(),
        Command::Batches(args) => args.run(),
        Command::Stores(args) => args.run(),
        Command::Questions(args) => args.run(),
        Command::Exports(args) => args.run(),
        Command::Pages(args) => args.run(),
        Command::Roles(args) => args.run(),
        Command::Growth(args) => args.run(),
        Command::Render(args) => args.run(),
        Command::Start(args) => args.run(),
        Command::Building(args) => args.run(),
        Command::Soak(args) => args.run(),
        Command::Profile(args) => args.run(),
        Command::Bare { answer_bytes } => bare::run(answer_bytes),
    }
}
