//! The command line of the measurements.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use telemetrics_benches::{Failure, bare, batches, idle, ingest, profile, questions, stores};
use telemetrics_web::memory;

/// Measures the server beside what the machine allows, and prints tables of ratios.
#[derive(Debug, Parser)]
#[command(name = "telemetrics-benches")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Single records, under all loads.
    Ingest(ingest::Args),
    /// Batches, beside what ClickHouse takes of the same rows.
    Batches(batches::Args),
    /// Bulk inserts into both stores, and what the same records take on disk in them.
    Stores(stores::Args),
    /// Every question to both stores, beside ClickHouse's own SQL.
    Questions(questions::Args),
    /// Memory of a server that has nothing to do.
    Idle(idle::Args),
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
    // As the server has it: the bare handler must not be faster or slower for another allocator.
    memory::limit();
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
        Command::Ingest(args) => args.run(),
        Command::Batches(args) => args.run(),
        Command::Stores(args) => args.run(),
        Command::Questions(args) => args.run(),
        Command::Idle(args) => args.run(),
        Command::Profile(args) => args.run(),
        Command::Bare { answer_bytes } => bare::run(answer_bytes),
    }
}
