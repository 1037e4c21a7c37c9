//! Where records are kept, and how a ClickHouse server is named.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::load::{Given, Overrides, Value};

/// Where records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// Files below the data directory; nothing to install.
    Embedded,
    /// A ClickHouse server.
    ClickHouse(Box<ClickHouse>),
}

/// How to reach a ClickHouse server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickHouse {
    /// Address of its HTTP interface, without user, password and database.
    pub url: Url,
    /// Database that holds the table of records.
    pub database: String,
    /// User name.
    pub user: String,
    /// File that holds the password, when it comes from one.
    pub password_file: Option<PathBuf>,
    /// The password itself; empty when the user has none.
    pub password: Password,
    /// User of statements; `None` for the same one.
    pub sql_user: Option<String>,
    /// File that holds the password of that user.
    pub sql_password_file: Option<PathBuf>,
    /// That password itself.
    pub sql_password: Password,
    /// File with the only certificates (PEM) that are trusted to sign the server's; without one, those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// Whether records are compressed on their way.
    pub is_compressed: bool,
}

/// Database and user of a ClickHouse server that nobody configured.
pub(super) const CLICKHOUSE_DEFAULT: &str = "default";
/// Time limit of a request when nobody says otherwise.
pub(super) const REQUEST_TIMEOUT_MS_DEFAULT: u64 = 60_000;

impl ClickHouse {
    /// The server at `url`, with its own default database and user.
    #[must_use]
    pub fn at(url: Url) -> Self {
        Self {
            url,
            database: CLICKHOUSE_DEFAULT.to_owned(),
            user: CLICKHOUSE_DEFAULT.to_owned(),
            password_file: None,
            password: Password::default(),
            sql_user: None,
            sql_password_file: None,
            sql_password: Password::default(),
            ca_file: None,
            request_timeout_ms: REQUEST_TIMEOUT_MS_DEFAULT,
            is_compressed: true,
        }
    }
}

impl Store {
    /// The ClickHouse server, when records are kept in one.
    #[must_use]
    pub fn clickhouse(&self) -> Option<&ClickHouse> {
        match self {
            Self::Embedded => None,
            Self::ClickHouse(server) => Some(server),
        }
    }

    pub(super) fn clickhouse_mut(&mut self) -> Option<&mut ClickHouse> {
        match self {
            Self::Embedded => None,
            Self::ClickHouse(server) => Some(server),
        }
    }
}

/// A secret that does not show itself in logs and error messages.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(String);

impl Password {
    /// Keeps `text` as the secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret, for the one who sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Password(none)" } else { "Password(hidden)" })
    }
}

/// Takes an address as people write it on a command line, `http://user:password@host:8123/database`, apart into the
/// settings that it stands for. The database may also be given as `?database=`.
///
/// What is no address at all is passed on as it is: the check of `store.clickhouse.url` says what is wrong with it.
pub(crate) fn from_command_line(origin: &'static str, address: &str, overrides: &mut Overrides) {
    let mut give =
        |key, text: String| overrides.given.push(Given { origin: origin.to_owned(), key, value: Value::Text(text) });
    let Ok(mut url) = Url::parse(address) else {
        give("store.clickhouse.url", address.to_owned());
        return;
    };
    if let Some(database) = database_of(&url) {
        give("store.clickhouse.database", database);
    }
    if !url.username().is_empty() {
        give("store.clickhouse.user", decoded(url.username()));
    }
    overrides.clickhouse_password = url.password().map(|password| Password::new(decoded(password)));
    strip(&mut url);
    overrides.given.push(Given {
        origin: origin.to_owned(),
        key: "store.clickhouse.url",
        value: Value::Text(url.to_string()),
    });
}

fn database_of(url: &Url) -> Option<String> {
    let in_query = url.query_pairs().find(|(name, _)| name == "database").map(|(_, value)| value.into_owned());
    in_query.or_else(|| Some(decoded(url.path().trim_matches('/')))).filter(|name| !name.is_empty())
}

/// Removes what stands in settings of its own. An address that cannot carry a user (`data:...`) has none to remove.
fn strip(url: &mut Url) {
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let others: Vec<(String, String)> = url.query_pairs().filter(|(name, _)| name != "database").map(owned).collect();
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
    if !url.cannot_be_a_base() {
        url.set_path("");
    }
}

fn owned((name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

/// Percent-decoding by way of the form decoder, which would take `+` for a space.
fn decoded(text: &str) -> String {
    let escaped = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(escaped.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

/// The address of a ClickHouse server as the file may give it.
///
/// # Errors
/// What is allowed instead.
pub(super) fn plain_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("must be an address as http://127.0.0.1:8123 ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("must begin with http:// or https:// and name a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not carry a user or a password: `user` and `password_file` are keys of their own".to_owned());
    }
    if !url.path().trim_matches('/').is_empty() || url.query().is_some() || url.fragment().is_some() {
        return Err("must end behind the port: `database` is a key of its own".to_owned());
    }
    Ok(url)
}
