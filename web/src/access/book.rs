//! The files of users and tokens: who there is, with what he may do. One a line: name, scopes, hash.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

use super::password;
use super::scope::{Scope, Scopes};
use crate::{config, secret_file};

/// Longest name, in characters; one fits into the history of curation.
pub const NAME_CHARS_MAX: usize = 64;
/// Most users, and most tokens.
pub const ENTRIES_MAX: usize = 1_000;
/// How every token begins, so that one is recognised where it should not be.
const TOKEN_PREFIX: &str = "tlm_";
const TOKEN_BYTES: usize = 32;
/// How the hash of a token begins.
const TOKEN_HASH: &str = "sha256:";

/// One line: who, what he may do, and the hash of what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Name.
    pub name: String,
    /// What he may do.
    pub scopes: Scopes,
    /// Hash of the password or of the token.
    pub hash: String,
}

/// Which of the two files it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Users with passwords.
    Users,
    /// Tokens of programs.
    Tokens,
}

/// Who has access.
#[derive(Debug, Default)]
pub struct Book {
    users: HashMap<String, (Scopes, String)>,
    tokens: Vec<Token>,
    has_users: bool,
    is_open: bool,
}

#[derive(Debug)]
struct Token {
    name: String,
    scopes: Scopes,
    hash: [u8; 32],
}

impl Kind {
    /// The setting that names the file.
    #[must_use]
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Users => "access.users_file",
            Self::Tokens => "access.tokens_file",
        }
    }

    /// # Errors
    /// What the hash has to be, as the end of a sentence about it.
    fn check(self, hash: &str) -> Result<(), String> {
        match self {
            Self::Users => password::check_hash(hash),
            Self::Tokens => token_hash(hash).map(drop).ok_or_else(|| "must be one of a token".to_owned()),
        }
    }
}

impl Book {
    /// What the files of the configuration say; without any, everybody may do everything.
    ///
    /// # Errors
    /// Which file cannot be used and what to do, as a sentence for the operator.
    pub fn read(files: &config::Access) -> Result<Self, String> {
        let config::Access { users_file, tokens_file } = files;
        let mut book = Self {
            has_users: users_file.is_some(),
            is_open: users_file.is_none() && tokens_file.is_none(),
            ..Self::default()
        };
        if let Some(path) = users_file {
            let lines = lines(Kind::Users, path)?;
            book.users = lines.into_iter().map(|line| (line.name, (line.scopes, line.hash))).collect();
        }
        if let Some(path) = tokens_file {
            book.tokens = lines(Kind::Tokens, path)?.into_iter().filter_map(Token::of).collect();
        }
        Ok(book)
    }

    /// Who has the token, and nobody else, may do everything.
    #[must_use]
    pub fn of_one(token: &str) -> Self {
        let line =
            Line { name: "own".to_owned(), scopes: [Scope::Admin].into_iter().collect(), hash: hash_of_token(token) };
        Self { tokens: Token::of(line).into_iter().collect(), ..Self::default() }
    }

    /// Whether everybody may do everything.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether people can sign in with a name and a password.
    #[must_use]
    pub const fn has_users(&self) -> bool {
        self.has_users
    }

    /// How many users and tokens there are.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.users.len(), self.tokens.len())
    }

    /// Scopes and hash of a user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<(Scopes, &str)> {
        self.users.get(name).map(|(scopes, hash)| (*scopes, hash.as_str()))
    }

    /// Name and scopes of a token. It takes as long whichever one it is, and when it is none.
    #[must_use]
    pub fn token(&self, token: &[u8]) -> Option<(&str, Scopes)> {
        let hash = digest(&SHA256, token);
        let mut found = None;
        for known in &self.tokens {
            if bool::from(known.hash.ct_eq(hash.as_ref())) {
                found = Some((known.name.as_str(), known.scopes));
            }
        }
        found
    }
}

impl Token {
    fn of(line: Line) -> Option<Self> {
        let hash = token_hash(&line.hash)?;
        Some(Self { name: line.name, scopes: line.scopes, hash })
    }
}

/// The lines of a file that only its owner and his group can read.
///
/// # Errors
/// What is wrong with it, as a sentence that names the setting and the file.
pub fn lines(kind: Kind, path: &Path) -> Result<Vec<Line>, String> {
    let text =
        secret_file::read(path).map_err(|reason| format!("`{}` ({}) {reason}", kind.setting(), path.display()))?;
    lines_of(kind, &text).map_err(|(line, reason)| format!("{}:{line}: {reason}", path.display()))
}

/// # Errors
/// The number of the line that is none, and why.
fn lines_of(kind: Kind, text: &str) -> Result<Vec<Line>, (usize, String)> {
    let mut lines: Vec<Line> = Vec::new();
    for (at, text) in text.lines().enumerate() {
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let line = line_of(kind, text).map_err(|reason| (at + 1, reason))?;
        if lines.iter().any(|other| other.name == line.name) {
            return Err((at + 1, format!("there is a {} before", line.name)));
        }
        if lines.len() == ENTRIES_MAX {
            return Err((at + 1, format!("there are more than {ENTRIES_MAX}")));
        }
        lines.push(line);
    }
    Ok(lines)
}

/// # Errors
/// Why it is none. The line itself is not repeated: it may be a password in the wrong place.
fn line_of(kind: Kind, text: &str) -> Result<Line, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [name, scopes, hash] = words[..] else { return Err("a line has a name, scopes and a hash".to_owned()) };
    check_name(name).map_err(|reason| format!("the name {reason}"))?;
    let scopes = scopes.parse()?;
    kind.check(hash).map_err(|reason| format!("the hash of {name} {reason}"))?;
    Ok(Line { name: name.to_owned(), scopes, hash: hash.to_owned() })
}

/// Whether `name` may be somebody's.
///
/// # Errors
/// What it has to be, as the end of a sentence about it.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(is_good) {
        Ok(())
    } else {
        Err(format!("must have 1 to {NAME_CHARS_MAX} letters, digits and . _ @ -"))
    }
}

/// A token that nobody has.
///
/// # Errors
/// When the system has no randomness.
pub fn new_token() -> Result<String, String> {
    let mut random = [0; TOKEN_BYTES];
    SystemRandom::new().fill(&mut random).map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// How a token stands in its file.
#[must_use]
pub fn hash_of_token(token: &str) -> String {
    let hash = digest(&SHA256, token.as_bytes());
    hash.as_ref().iter().fold(TOKEN_HASH.to_owned(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn token_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(TOKEN_HASH).filter(|digits| digits.len() == 64 && digits.is_ascii())?;
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn tokens(text: &str) -> Result<Vec<Line>, (usize, String)> {
        lines_of(Kind::Tokens, text)
    }

    fn line(name: &str) -> String {
        format!("{name} read {}\n", hash_of_token(name))
    }

    #[test]
    fn lines_are_read_and_wrong_ones_named_without_what_is_in_them() {
        let text = format!("# comment\n\n{}  \nb\tread,sql  {}\n", line("a"), hash_of_token("b"));
        let names: Vec<String> = tokens(&text).expect("valid").into_iter().map(|line| line.name).collect();
        assert_eq!(names, ["a", "b"]);
        for (text, at, part) in [
            ("secret", 1, "a line has a name"),
            ("a read sha256:0 x", 1, "a line has a name"),
            ("a all secret", 1, "\"all\" is no scope"),
            ("\na read secret", 2, "the hash of a must be one of a token"),
            ("a/b read secret", 1, "the name must have"),
            (&format!("{0}{0}", line("a")), 2, "there is a a before"),
        ] {
            let (line, reason) = tokens(text).expect_err(text);
            assert!(line == at && reason.contains(part) && !reason.contains("secret"), "{text}: {line}: {reason}");
        }
    }

    #[test]
    fn names_and_lines_are_limited_at_their_edges() {
        assert!(check_name(&"x".repeat(NAME_CHARS_MAX)).is_ok());
        for bad in ["", &"x".repeat(NAME_CHARS_MAX + 1), "a:b", "a b", "ü"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        let many = |count: usize| (0..count).map(|n| line(&n.to_string())).collect::<String>();
        assert_eq!(tokens(&many(ENTRIES_MAX)).expect("valid").len(), ENTRIES_MAX);
        assert_eq!(tokens(&many(ENTRIES_MAX + 1)).expect_err("too many").0, ENTRIES_MAX + 1);
    }

    #[test]
    fn a_token_is_found_by_its_hash_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tokens");
        fs::write(&path, format!("{}{}", line("a"), line("b"))).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
        let book = Book::read(&config::Access { tokens_file: Some(path), ..config::Access::default() }).expect("valid");
        assert!(!book.is_open() && !book.has_users());
        assert_eq!(book.token(b"b").map(|(name, _)| name), Some("b"));
        assert_eq!(book.token(b"c"), None);
        assert_eq!(book.token(hash_of_token("a").as_bytes()), None);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("users");
        let read = || lines(Kind::Users, &path);
        assert!(read().expect_err("no file").starts_with("`access.users_file` ("));
        fs::write(&path, "").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("a mode");
        assert!(read().expect_err("open").contains("`chmod o= "));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        assert_eq!(read(), Ok(Vec::new()));
    }

    #[test]
    fn a_book_of_one_token_is_closed_to_others() {
        let (own, other) = (new_token().expect("a token"), new_token().expect("a token"));
        let book = Book::of_one(&own);
        assert!(own.starts_with(TOKEN_PREFIX) && own.len() == TOKEN_PREFIX.len() + 43, "{own}");
        assert!(!book.is_open() && book.token(other.as_bytes()).is_none());
        assert!(book.token(own.as_bytes()).is_some_and(|(_, scopes)| scopes.allow(Scope::Sql)));
    }

    #[test]
    fn without_files_everybody_may_do_everything() {
        assert!(Book::read(&config::Access::default()).expect("valid").is_open());
    }
}
