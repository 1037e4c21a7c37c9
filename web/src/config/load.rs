//! Puts file and command line together into one checked [`Config`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use telemetrics_collector::quarantine::QUOTA_PER_BODY;

use super::error::{ConfigError, Problem};
use super::file::{self, Entry};
use super::settings::{QUOTA_PER_SEGMENT, SEGMENT_PER_BODY, SETTINGS};
use super::store::Password;
use super::{Access, Config};

/// Longest part of a refused value that an error message repeats, in characters.
const SHOWN_CHARS: usize = 80;
const CLICKHOUSE_SECTION: &str = "store.clickhouse";
const CLICKHOUSE_URL: &str = "store.clickhouse.url";

/// A value as it was given, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number, far wider than any setting allows, so that the range check sees what was written.
    Number(i128),
    /// `true` or `false`.
    Flag(bool),
    /// A path of the command line, which need not be UTF-8.
    Path(PathBuf),
    /// A list.
    List(Vec<Value>),
    /// A table inside a list: keys and values.
    Table(Vec<(String, Value)>),
    /// Something that no setting takes: what it is, for the message.
    Other(&'static str),
}

impl Value {
    /// The value as an error message repeats it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) if text.chars().count() > SHOWN_CHARS => {
                format!("{:?}...", text.chars().take(SHOWN_CHARS).collect::<String>())
            }
            Self::Text(text) => format!("{text:?}"),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Path(path) => format!("{:?}", path.display().to_string()),
            Self::List(items) => format!("this list of {}", items.len()),
            Self::Table(_) => "a table".to_owned(),
            Self::Other(what) => (*what).to_owned(),
        }
    }
}

/// A setting from elsewhere than the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Where it comes from, for error messages: `--listen`.
    pub origin: String,
    /// Key in [`SETTINGS`].
    pub key: &'static str,
    /// The value.
    pub value: Value,
}

/// What the command line says; it goes before the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Settings.
    pub given: Vec<Given>,
    /// Password of ClickHouse; it has no key, because it does not belong into the file.
    pub clickhouse_password: Option<Password>,
}

struct Source {
    origin: String,
    value: Value,
}

impl Config {
    /// The configuration of `file` (none: the defaults) with `overrides` on top.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] when the file or the password file cannot be read, [`ConfigError::Invalid`] with
    /// every problem when a setting is unknown or not as it has to be.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        Ok(Self::load_with_origins(file, overrides)?.0)
    }

    /// The same, and where the value of each setting comes from, by its place in [`SETTINGS`]; defaults are not there.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with_origins(
        file: Option<&Path>,
        overrides: Overrides,
    ) -> Result<(Self, BTreeMap<usize, String>), ConfigError> {
        let (name, text) = match file {
            Some(path) => (path.display().to_string(), read(path)?),
            None => (String::new(), String::new()),
        };
        let (mut config, origins) = Self::read(&name, &text, overrides.given)?;
        config.find_password(overrides.clickhouse_password)?;
        Ok((config, origins))
    }

    /// The configuration of a file's `text`; `name` is how messages call the file.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn from_text(name: &str, text: &str, given: Vec<Given>) -> Result<Self, ConfigError> {
        Ok(Self::read(name, text, given)?.0)
    }

    fn read(name: &str, text: &str, given: Vec<Given>) -> Result<(Self, BTreeMap<usize, String>), ConfigError> {
        let entries = file::entries(text).map_err(|(line, message)| {
            ConfigError::Invalid(vec![Problem { origin: format!("{name}:{line}"), message }])
        })?;
        let mut problems = Vec::new();
        let sources = gather(name, entries, given, &mut problems);
        let mut config = Self::default();
        let mut origins = BTreeMap::new();
        for (at, source) in sources {
            origins.insert(at, source.origin.clone());
            if let Err(message) = SETTINGS[at].apply(&mut config, &source.value) {
                problems.push(Problem { origin: source.origin, message });
            }
        }
        problems.extend(config.contradictions(name));
        if problems.is_empty() { Ok((config, origins)) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// Rules between two settings.
    fn contradictions(&self, name: &str) -> Vec<Problem> {
        let body = self.body_limit_bytes as u64;
        let Self { journal, quarantine, .. } = self;
        let rules = [
            (journal.segment_bytes, SEGMENT_PER_BODY, body, "journal.segment_bytes", "body_limit_bytes"),
            (
                journal.quota_bytes,
                QUOTA_PER_SEGMENT,
                journal.segment_bytes,
                "journal.quota_bytes",
                "journal.segment_bytes",
            ),
            (quarantine.quota_bytes, QUOTA_PER_BODY, body, "quarantine.quota_bytes", "body_limit_bytes"),
        ];
        let mut problems = Vec::new();
        let server = self.store.clickhouse();
        if server.is_some_and(|server| server.sql_password_file.is_some() && server.sql_user.is_none()) {
            let message = "`store.clickhouse.sql_password_file` needs `store.clickhouse.sql_user`".to_owned();
            problems.push(Problem { origin: name.to_owned(), message });
        }
        if self.tls.as_ref().is_some_and(|tls| [&tls.certificate_file, &tls.key_file].contains(&&PathBuf::new())) {
            let message = "`tls.certificate_file` and `tls.key_file` need each other".to_owned();
            problems.push(Problem { origin: name.to_owned(), message });
        }
        let unknown = self.rate_limit.ids.iter().find(|limit| !self.telemetry_ids.contains(&limit.telemetry_id));
        if let Some(limit) = unknown {
            let message =
                format!("`rate_limit.ids` limits {}, which `telemetry_ids` does not have", limit.telemetry_id);
            problems.push(Problem { origin: name.to_owned(), message });
        }
        problems.extend(self.open_to_others().map(|message| Problem { origin: name.to_owned(), message }));
        let broken = rules.into_iter().filter(|(size, factor, unit, ..)| *size < factor * unit);
        problems.extend(broken.map(|(size, factor, unit, key, other)| Problem {
            origin: name.to_owned(),
            message: format!("`{key}` ({size}) must be at least {factor} times `{other}` ({unit})"),
        }));
        problems
    }

    /// What is wrong with who is let in, from where.
    pub(crate) fn open_to_others(&self) -> Option<String> {
        let is_closed = self.access != Access::default();
        if is_closed && self.allow_anonymous {
            return Some(
                "`allow_anonymous` lets everybody do everything: it has no place beside `access.users_file` and \
                         `access.tokens_file`"
                    .to_owned(),
            );
        }
        let is_reached = !self.listen.ip().to_canonical().is_loopback();
        (is_reached && !is_closed && !self.allow_anonymous).then(|| {
            format!(
                "`listen` ({}) is reached from other machines, and nothing says who may see and change what is here: make \
                 `access.users_file` or `access.tokens_file` (`telemetrics access add-user`, `add-token`), or set \
                 `allow_anonymous = true` when everybody may",
                self.listen
            )
        })
    }

    fn find_password(&mut self, given: Option<Password>) -> Result<(), ConfigError> {
        let Some(server) = self.store.clickhouse_mut() else { return Ok(()) };
        if let Some(path) = &server.sql_password_file {
            server.sql_password = Password::new(read(path)?.trim_end_matches(['\r', '\n']));
        }
        match (given, &server.password_file) {
            (Some(password), _) => {
                server.password = password;
                server.password_file = None;
            }
            (None, Some(path)) => server.password = Password::new(read(path)?.trim_end_matches(['\r', '\n'])),
            (None, None) => {}
        }
        Ok(())
    }
}

/// All settings by their place in [`SETTINGS`], so that `store` is applied before what refines it.
fn gather(name: &str, entries: Vec<Entry>, given: Vec<Given>, problems: &mut Vec<Problem>) -> BTreeMap<usize, Source> {
    let mut sources = BTreeMap::new();
    let mut server = None;
    for Entry { key, value, line } in entries {
        let origin = format!("{name}:{line}");
        if key == CLICKHOUSE_SECTION || is_inside(&key, CLICKHOUSE_SECTION) {
            server.get_or_insert_with(|| origin.clone());
        }
        match place(&key) {
            Some(at) => {
                sources.insert(at, Source { origin, value });
            }
            None if key == CLICKHOUSE_SECTION => {}
            None => problems.push(Problem { origin, message: unknown(&key) }),
        }
    }
    for Given { origin, key, value } in given {
        match place(key) {
            Some(at) => {
                sources.insert(at, Source { origin, value });
            }
            None => problems.push(Problem { origin, message: unknown(key) }),
        }
    }
    let has_url = place(CLICKHOUSE_URL).is_some_and(|at| sources.contains_key(&at));
    if let (Some(origin), false) = (server, has_url) {
        problems.push(Problem { origin, message: format!("`{CLICKHOUSE_URL}` is missing") });
    }
    sources
}

fn place(key: &str) -> Option<usize> {
    SETTINGS.iter().position(|setting| setting.key == key)
}

fn unknown(key: &str) -> String {
    let inside: Vec<&str> = SETTINGS.iter().map(|s| s.key).filter(|known| is_inside(known, key)).collect();
    if !inside.is_empty() {
        return format!("`{key}` is a section; its keys are {}", inside.join(", "));
    }
    let shown: String = key.chars().take(SHOWN_CHARS).collect();
    match nearest(key, SETTINGS.iter().map(|setting| setting.key)) {
        Some(nearest) => format!("unknown key `{shown}`; the nearest known key is `{nearest}`"),
        None => format!("unknown key `{shown}`"),
    }
}

/// The one of `known` that looks most like what was written, with or without its section.
pub(crate) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.max_by(|a, b| likeness(a, written).total_cmp(&likeness(b, written)))
}

fn is_inside(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// How much a known key looks like what was written, with or without its section.
fn likeness(known: &str, written: &str) -> f64 {
    let last = known.rsplit('.').next().unwrap_or(known);
    let whole = strsim::normalized_damerau_levenshtein(known, written);
    whole.max(strsim::normalized_damerau_levenshtein(last, written))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}
