//! The part of the command line that looks for what is wrong: `doctor`.

use clap::{Args, ValueEnum};

use crate::cli_store::StoreArgs;

/// What `doctor` takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DoctorArgs {
    /// How to say what was found.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Form,
    /// Whose server: its configuration.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for people.
    Text,
    /// An object for scripts.
    Json,
}
