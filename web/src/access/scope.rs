//! Scopes: what somebody may do, as words in the files of users and tokens.

use std::fmt;
use std::str::FromStr;

/// One kind of things that somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Look: pages, records, counts.
    Read,
    /// Take away whole files, without a limit of rows.
    Export,
    /// Ask statements in SQL.
    Sql,
    /// Edit filters, comments and hidden guilties.
    Curate,
    /// Replay and discard what is in the quarantine, and everything else.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Export, Self::Sql, Self::Curate, Self::Admin];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Export => "export",
            Self::Sql => "sql",
            Self::Curate => "curate",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What somebody may do, none to all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

/// The word of no scopes.
const NONE: &str = "none";

impl Scopes {
    /// Whether they allow what needs `scope`: one is not in another, but all are in `admin`.
    #[must_use]
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl FromStr for Scopes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == NONE {
            return Ok(Self::default());
        }
        let scope = |word: &str| {
            let found = Scope::ALL.into_iter().find(|scope| scope.word() == word);
            let words = Scope::ALL.map(Scope::word).join(", ");
            found.ok_or_else(|| format!("{word:?} is no scope: they are {words}, with commas between, or {NONE}"))
        };
        text.split(',').map(scope).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = Scope::ALL.into_iter().filter(|scope| self.0 & scope.bit() != 0);
        let words: Vec<&str> = held.map(Scope::word).collect();
        f.write_str(if words.is_empty() { NONE.to_owned() } else { words.join(",") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_written_alike() {
        for text in ["none", "read", "read,sql", "read,export,sql,curate,admin"] {
            assert_eq!(text.parse::<Scopes>().expect(text).to_string(), text);
        }
        assert_eq!("sql,read,sql".parse::<Scopes>().expect("valid").to_string(), "read,sql");
        for text in ["", "all", "Read", "read,", "read, sql", "none,read"] {
            assert!(text.parse::<Scopes>().expect_err(text).contains("no scope: they are read, export"), "{text}");
        }
    }

    #[test]
    fn a_scope_allows_itself_and_admin_allows_all() {
        for held in Scope::ALL {
            let scopes: Scopes = [held].into_iter().collect();
            for asked in Scope::ALL {
                assert_eq!(scopes.allow(asked), held == asked || held == Scope::Admin, "{held:?} {asked:?}");
            }
        }
        assert!(Scope::ALL.into_iter().all(|scope| !Scopes::default().allow(scope)));
    }
}
