//! The command line of the measurements.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use telemetrics_benches::{Failure, bare, ingest};

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
        Command::Ingest(args) => args.run(),
        Command::Bare { answer_bytes } => bare::run(answer_bytes),
    }
}
