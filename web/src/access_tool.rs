//! `telemetrics access`: writes the files of users and tokens.
//!
//! A file is written beside its place and gets its name when it is whole, with the owner and the mode that it had.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::access::book::{self, Kind, Line, hash_of_token, new_token};
use crate::access::password::{self, PASSWORD_BYTES_MAX};
use crate::cli::ServeArgs;
use crate::cli_access::{AccessCommand, AddArgs, FileArgs, FilesArgs, NameArgs};
use crate::config::Config;
use crate::serve::StartError;

/// Mode of a new file.
const PRIVATE_MODE: u32 = 0o600;

/// Does what is asked.
///
/// # Errors
/// The sentence for the operator.
pub fn run(command: &AccessCommand) -> Result<ExitCode, StartError> {
    match command {
        AccessCommand::AddUser(args) => add_user(args)?,
        AccessCommand::RemoveUser(args) => remove(Kind::Users, args)?,
        AccessCommand::AddToken(args) => add_token(args)?,
        AccessCommand::RemoveToken(args) => remove(Kind::Tokens, args)?,
        AccessCommand::List(args) => print!("{}", list(args)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn add_user(args: &AddArgs) -> Result<(), StartError> {
    let path = path(Kind::Users, &args.file)?;
    book::check_name(&args.name).map_err(|reason| format!("the name {reason}"))?;
    let password = new_password()?;
    password::check(&password).map_err(|reason| format!("the password {reason}"))?;
    let hash = password::hash(&password)?;
    put(Kind::Users, &path, Line { name: args.name.clone(), scopes: args.scopes, hash })?;
    println!("{} is in {} with the scopes {}", args.name, path.display(), args.scopes);
    Ok(())
}

fn add_token(args: &AddArgs) -> Result<(), StartError> {
    let path = path(Kind::Tokens, &args.file)?;
    book::check_name(&args.name).map_err(|reason| format!("the name {reason}"))?;
    let token = new_token()?;
    put(Kind::Tokens, &path, Line { name: args.name.clone(), scopes: args.scopes, hash: hash_of_token(&token) })?;
    // Alone on standard output, so that it can go into a file.
    println!("{token}");
    eprintln!("{} is in {} with the scopes {}; its token is shown this once", args.name, path.display(), args.scopes);
    Ok(())
}

/// The file that is meant.
fn path(kind: Kind, args: &FileArgs) -> Result<PathBuf, StartError> {
    if let Some(path) = &args.file {
        return Ok(path.clone());
    }
    let config = configuration(args.config.as_ref())?;
    let path = match kind {
        Kind::Users => config.access.users_file,
        Kind::Tokens => config.access.tokens_file,
    };
    let setting = kind.setting();
    path.ok_or_else(|| format!("no file is configured: set `{setting}`, or name the file with --file").into())
}

fn configuration(file: Option<&PathBuf>) -> Result<Config, StartError> {
    Ok(ServeArgs { config: file.cloned(), ..ServeArgs::default() }.load()?)
}

/// Asks for a password twice without showing it; from something else than a terminal, it is the first line.
fn new_password() -> Result<String, StartError> {
    if !io::stdin().is_terminal() {
        return first_line(io::stdin().lock()).map_err(|error| format!("the password cannot be read: {error}").into());
    }
    let first = rpassword::prompt_password("Password: ")?;
    if rpassword::prompt_password("The same again: ")? == first {
        return Ok(first);
    }
    Err("the two passwords are not the same".into())
}

fn first_line(input: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    // One byte more than may be, and its line end: what is longer is refused, and not cut.
    input.take(PASSWORD_BYTES_MAX as u64 + 3).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Adds a line, in the place of one of the same name.
fn put(kind: Kind, path: &Path, line: Line) -> Result<(), StartError> {
    change(kind, path, |lines| {
        match lines.iter_mut().find(|other| other.name == line.name) {
            Some(old) => *old = line,
            None => lines.push(line),
        }
        Ok(())
    })
}

fn remove(kind: Kind, args: &NameArgs) -> Result<(), StartError> {
    let path = path(kind, &args.file)?;
    change(kind, &path, |lines| {
        let before = lines.len();
        lines.retain(|line| line.name != args.name);
        if lines.len() == before { Err(format!("there is no {} in {}", args.name, path.display())) } else { Ok(()) }
    })?;
    println!("{} is in {} no more", args.name, path.display());
    Ok(())
}

fn list(args: &FilesArgs) -> Result<String, StartError> {
    let access = configuration(args.config.as_ref())?.access;
    let mut text = String::new();
    for (kind, word, path) in [(Kind::Users, "user", access.users_file), (Kind::Tokens, "token", access.tokens_file)] {
        for line in path.map_or_else(|| Ok(Vec::new()), |path| book::lines(kind, &path))? {
            text.extend([word, " ", &line.name, " ", &line.scopes.to_string(), "\n"]);
        }
    }
    Ok(text)
}

/// Reads a file, changes its lines and writes it anew. Of two that do this at once, one waits for the other.
fn change(
    kind: Kind,
    path: &Path,
    change: impl FnOnce(&mut Vec<Line>) -> Result<(), String>,
) -> Result<(), StartError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = |error: io::Error| format!("{}: {error}", path.display());
    let lock = File::open(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    lock.lock().map_err(named)?;
    let old = match std::fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(named(error).into()),
    };
    let mut lines = if old.is_some() { book::lines(kind, path)? } else { Vec::new() };
    change(&mut lines)?;
    if lines.len() > book::ENTRIES_MAX {
        return Err(format!("{} has {} lines, and more cannot be read", path.display(), book::ENTRIES_MAX).into());
    }
    replace(directory, path, old.as_ref(), &text_of(kind, &lines)).map_err(named)?;
    Ok(())
}

fn text_of(kind: Kind, lines: &[Line]) -> String {
    let (what, hash) = match kind {
        Kind::Users => ("Users", "argon2 hash of the password"),
        Kind::Tokens => ("Tokens", "SHA-256 of the token"),
    };
    let mut text = format!("# {what} of telemetrics, one a line: name, scopes, {hash}.\n");
    for Line { name, scopes, hash } in lines {
        text.extend([name, " ", &scopes.to_string(), " ", hash, "\n"]);
    }
    text
}

fn replace(directory: &Path, path: &Path, old: Option<&Metadata>, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    let mode = old.map_or(PRIVATE_MODE, |old| old.mode() & 0o777);
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    let owner = |metadata: &Metadata| (metadata.uid(), metadata.gid());
    if let Some(old) = old.map(owner).filter(|old| file.as_file().metadata().is_ok_and(|new| owner(&new) != *old)) {
        // The server may be the only one who can read it.
        fchown(file.as_file(), Some(old.0), Some(old.1))?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(path: &Path) -> FileArgs {
        FileArgs { file: Some(path.to_owned()), config: None }
    }

    fn line(name: &str) -> Line {
        Line { name: name.to_owned(), scopes: "read".parse().expect("scopes"), hash: hash_of_token(name) }
    }

    #[test]
    fn a_file_keeps_its_mode_and_others_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tokens");
        put(Kind::Tokens, &path, line("a")).expect("put");
        assert_eq!(std::fs::metadata(&path).expect("a file").mode() & 0o777, PRIVATE_MODE);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("a mode");
        put(Kind::Tokens, &path, line("b")).expect("put");
        let changed = Line { scopes: "sql".parse().expect("scopes"), ..line("a") };
        put(Kind::Tokens, &path, changed.clone()).expect("put");
        assert_eq!(book::lines(Kind::Tokens, &path).expect("valid"), [changed, line("b")]);
        assert_eq!(std::fs::metadata(&path).expect("a file").mode() & 0o777, 0o640);
        let name = |name: &str| NameArgs { name: name.to_owned(), file: args(&path) };
        remove(Kind::Tokens, &name("a")).expect("removed");
        assert!(remove(Kind::Tokens, &name("a")).expect_err("gone").to_string().contains("there is no a in"));
        assert_eq!(book::lines(Kind::Tokens, &path).expect("valid"), [line("b")]);
    }

    #[test]
    fn a_password_is_one_line_and_never_cut() {
        assert_eq!(first_line(&b"pass word \r\nrest"[..]).expect("text"), "pass word ");
        assert_eq!(first_line(&b"no end"[..]).expect("text"), "no end");
        let long = vec![b'x'; PASSWORD_BYTES_MAX + 10];
        let read = first_line(long.as_slice()).expect("text");
        assert!(password::check(&read).is_err(), "{}", read.len());
    }
}
