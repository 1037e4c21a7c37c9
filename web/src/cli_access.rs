//! The part of the command line about who has access: `access`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::access::scope::Scopes;

/// What can be done about users and tokens. A server that runs takes it on `SIGHUP`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AccessCommand {
    /// Let a user in, or change password and scopes of one: the password is asked for, or is the first line of standard
    /// input.
    AddUser(AddArgs),
    /// Let a user in no more.
    RemoveUser(NameArgs),
    /// Make a token for a program, which is printed once and kept nowhere.
    AddToken(AddArgs),
    /// Let who has a token in no more.
    RemoveToken(NameArgs),
    /// Print users and tokens with their scopes.
    List(FilesArgs),
}

/// What `add-user` and `add-token` take.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AddArgs {
    /// Who it is: letters, digits and . _ @ -
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What he may do: read, export, sql, curate, admin, with commas between; or none, which is for who only reads metrics.
    #[arg(long, value_name = "SCOPES", default_value = "read")]
    pub scopes: Scopes,
    /// Where it is written.
    #[command(flatten)]
    pub file: FileArgs,
}

/// What `remove-user` and `remove-token` take.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NameArgs {
    /// Who it is.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where he is removed.
    #[command(flatten)]
    pub file: FileArgs,
}

/// One file of users or tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct FileArgs {
    /// Configuration file (TOML) that names the file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The file itself [default: that of the configuration].
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
}

/// Both files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct FilesArgs {
    /// Configuration file (TOML) that names the files.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
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
    fn a_password_is_no_argument() {
        assert!(parse("telemetrics access add-user ann secret").is_err());
        assert!(parse("telemetrics access add-user ann --password secret").is_err());
    }

    #[test]
    fn scopes_are_words() {
        let command = parse("telemetrics access add-token ci --scopes read,sql --file t").expect("valid");
        let Command::Access(AccessCommand::AddToken(args)) = command else { panic!("{command:?}") };
        assert_eq!((args.scopes.to_string().as_str(), args.file.file), ("read,sql", Some("t".into())));
        assert!(parse("telemetrics access add-token ci --scopes all").is_err());
        assert!(parse("telemetrics access add-token ci --file t --config c").is_err());
    }
}
