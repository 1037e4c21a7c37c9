//! The database of the original, read with `psql`: whatever that can reach (TLS, sockets, password files) can be imported.
//!
//! The program is PostgreSQL's own client, which every machine has that the original runs on. Values come as hexadecimal
//! digits of their bytes, so that neither the encoding of the database nor what stands in a value can be misread.

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use telemetrics_schema::columns::reported;
use telemetrics_schema::wire::decode_text;
use url::Url;

use super::row::Row;
use super::source::{Place, Read, Take};
use crate::serve::StartError;

/// Name or path of another `psql`.
pub(crate) const PSQL_VARIABLE: &str = "TELEMETRICS_PSQL";
/// Both generations of the table `records`: the names of a column, newest first, in the order of `reported()`.
const COLUMNS: [&[&str]; 19] = [
    &["id"],
    &["timestamp_server", "tsp_server"],
    &["timestamp_client", "tsp"],
    &["classification"],
    &["severity"],
    &["machine_id"],
    &["system_name", "os_name"],
    &["build"],
    &["kernel_version"],
    &["architecture"],
    &["host_type", "machine"],
    &["board_name"],
    &["cpu_model"],
    &["bios_version"],
    &["event_id"],
    &["external"],
    &["record_version", "record_format_version"],
    &["payload_version", "payload_format_version"],
    &["payload"],
];
/// What every generation has: without one of these it is another program's database.
const NEEDED: [&str; 4] = ["id", "severity", "machine_id", "payload"];
/// `SELECT` of the columns of the tables that the search path leads to.
const TABLES: &str = "SELECT table_name, column_name, data_type FROM information_schema.columns \
    WHERE table_schema = ANY (current_schemas(false)) \
    AND table_name IN ('records', 'classification', 'build', 'guilty', 'guilty_blacklisted')";

/// The original's database, with one transaction open in which all of it is read.
pub(super) struct Original {
    server: Server,
    psql: Child,
    lines: BufReader<ChildStdout>,
    rows: u64,
}

/// How the database is reached.
#[derive(Debug, Clone)]
pub(super) struct Server {
    url: Url,
    password: Option<String>,
}

/// Names and types of the columns that there are.
#[derive(Debug, Default)]
pub(super) struct Tables(Vec<(String, String, String)>);

impl Server {
    /// `postgresql://user@host:5432/database`, as PostgreSQL's own programs take it.
    pub(super) fn at(address: &str) -> Result<Self, StartError> {
        let mut url = Url::parse(address).map_err(|error| format!("--postgres: {error}"))?;
        if !matches!(url.scheme(), "postgresql" | "postgres") {
            return Err("--postgres: the address begins with postgresql://".into());
        }
        // Other users of the machine can see a command line, so psql is told the password in its environment.
        let password = url.password().map(decoded);
        let _ = url.set_password(None);
        Ok(Self { url, password })
    }

    /// Without a password.
    pub(super) fn name(&self) -> String {
        self.url.to_string()
    }

    fn start(&self, commands: &[&str]) -> Result<(Child, BufReader<ChildStdout>), StartError> {
        let program = std::env::var_os(PSQL_VARIABLE).unwrap_or_else(|| "psql".into());
        let mut psql = Command::new(&program);
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"]);
        psql.args(["--field-separator", "\t", "--set", "ON_ERROR_STOP=1", "--dbname", self.url.as_str()]);
        psql.args(commands.iter().flat_map(|command| ["--command", command]));
        psql.env("PGOPTIONS", "-c statement_timeout=0 -c client_min_messages=error -c TimeZone=UTC");
        psql.env("PGAPPNAME", "telemetrics import").env("PGCLIENTENCODING", "UTF8");
        if let Some(password) = &self.password {
            psql.env("PGPASSWORD", password);
        }
        let mut child = psql
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}. Install psql (postgresql-client)", program.to_string_lossy()))?;
        let output = child.stdout.take().ok_or("psql has no output")?;
        Ok((child, BufReader::new(output)))
    }

    /// The answer to one query, with the values of a row apart from each other.
    pub(super) fn query(&self, sql: &str) -> Result<Vec<Vec<String>>, StartError> {
        let (child, lines) = self.start(&[sql])?;
        let rows = lines
            .lines()
            .map(|line| Ok(line?.split('\t').map(str::to_owned).collect()))
            .collect::<Result<Vec<Vec<String>>, std::io::Error>>()?;
        finish(child)?;
        Ok(rows)
    }

    /// What there is of the original.
    pub(super) fn tables(&self) -> Result<Tables, StartError> {
        let rows = self.query(TABLES)?;
        let rows = rows.into_iter().filter_map(|row| <[String; 3]>::try_from(row).ok());
        let tables = Tables(rows.map(|[table, column, kind]| (table, column, kind)).collect());
        match NEEDED.iter().find(|column| !tables.has("records", column)) {
            Some(missing) => Err(format!(
                "{} is no database of telemetrics-backend: its table records has no column {missing}",
                self.name()
            )
            .into()),
            None => Ok(tables),
        }
    }
}

impl Tables {
    /// Whether the table has the column.
    pub(super) fn has(&self, table: &str, column: &str) -> bool {
        self.kind(table, column).is_some()
    }

    fn kind(&self, table: &str, column: &str) -> Option<&str> {
        self.0.iter().find(|(t, c, _)| t == table && c == column).map(|(_, _, kind)| kind.as_str())
    }

    /// The statement that gives every row in the order of identifiers.
    fn statement(&self) -> String {
        let values: Vec<String> = COLUMNS.iter().map(|names| hexadecimal(&self.value(names))).collect();
        let joined = |table: &str, key: &str| {
            if self.has(table, table) && self.has("records", key) {
                format!(" LEFT JOIN {table} ON {table}.id = r.{key}")
            } else {
                String::new()
            }
        };
        let joins = joined("classification", "classification_id") + &joined("build", "build_id");
        format!("SELECT {} FROM records r{joins} ORDER BY r.id", values.join(", "))
    }

    /// What stands for a column: as text or as bytes.
    fn value(&self, names: &[&str]) -> String {
        let own = names.iter().find(|name| self.has("records", name)).map(|name| format!("r.{name}"));
        match names[0] {
            table @ ("classification" | "build") => {
                // The names moved from tables of their own into the records; the older column is empty then.
                let older = (self.has(table, table) && self.has("records", &format!("{table}_id")))
                    .then(|| format!("{table}.{table}::text"));
                let own = own.map(|own| format!("NULLIF({own}::text, '')"));
                either(own, older).map_or_else(|| "NULL".to_owned(), |value| bytes(&value))
            }
            "payload" => self.payload(),
            _ => own.map_or_else(|| "NULL".to_owned(), |value| bytes(&format!("{value}::text"))),
        }
    }

    /// What the probe sent. The older generation has it as bytes, and beside them a text that was worked on.
    fn payload(&self) -> String {
        let own = match self.kind("records", "payload") {
            Some("bytea") => "NULLIF(r.payload, ''::bytea)".to_owned(),
            _ => bytes("r.payload::text"),
        };
        let worked_on = self.has("records", "backtrace").then(|| bytes("r.backtrace::text"));
        worked_on.map_or_else(|| own.clone(), |worked_on| format!("COALESCE({own}, {worked_on})"))
    }
}

impl Original {
    /// Begins to read.
    pub(super) fn open(server: Server, tables: &Tables) -> Result<Self, StartError> {
        let copy = format!("COPY ({}) TO STDOUT", tables.statement());
        let commands = [
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            "COPY (SELECT count(*) FROM records) TO STDOUT",
            &copy,
            "COMMIT",
        ];
        let (psql, mut lines) = server.start(&commands)?;
        let mut first = String::new();
        lines.read_line(&mut first)?;
        let Ok(rows) = first.trim_end().parse() else {
            finish(psql)?;
            return Err("the database did not say how many records it has".into());
        };
        Ok(Self { server, psql, lines, rows })
    }

    pub(super) fn name(&self) -> String {
        self.server.name()
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn read(self, take: Take<'_>) -> Result<(), StartError> {
        let Self { mut psql, lines, rows, .. } = self;
        let mut read = 0;
        for line in lines.lines() {
            read += 1;
            let (place, row) = row(&line?);
            if !take(place, row, read) {
                psql.kill()?;
                psql.wait()?;
                return Ok(());
            }
        }
        finish(psql)?;
        if read == rows {
            return Ok(());
        }
        Err(format!("the database has {rows} records and gave {read}").into())
    }
}

/// Waits for the end of psql, which has said on standard error why it failed.
fn finish(mut psql: Child) -> Result<(), StartError> {
    let mut said = String::new();
    if let Some(mut errors) = psql.stderr.take() {
        errors.read_to_string(&mut said)?;
    }
    if psql.wait()?.success() { Ok(()) } else { Err(said.trim().to_owned().into()) }
}

fn row(line: &str) -> (Place, Read) {
    let mut row = Row::default();
    for (place, text) in line.split('\t').enumerate().take(reported().len()) {
        match unescaped(text) {
            Some(Ok(text)) => row.set(place, text),
            Some(Err(())) => return (Place::Id(-1), Err(format!("psql wrote no value: {}", super::row::cut(text)))),
            None => {}
        }
    }
    let id = row.0[0].as_deref().and_then(|id| id.parse().ok()).unwrap_or(-1);
    (Place::Id(id), Ok(row))
}

/// A value as `hexadecimal` has PostgreSQL write it; `None` is NULL.
pub(super) fn unescaped(text: &str) -> Option<Result<String, ()>> {
    if text == "\\N" {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
            _ => None,
        })
        .collect();
    Some(bytes.map(|bytes| decode_text(&bytes).into_owned()).ok_or(()))
}

/// The bytes of a text: as UTF-8, or as they are where the database does not know what they are.
pub(super) fn bytes(text: &str) -> String {
    format!(
        "convert_to({text}, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII'::name ELSE 'UTF8'::name END)"
    )
}

/// Bytes as digits.
pub(super) fn hexadecimal(bytes: &str) -> String {
    format!("encode({bytes}, 'hex')")
}

fn either(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("COALESCE({one}, {other})")),
        (one, other) => one.or(other),
    }
}

/// A part of an address without its percent signs.
fn decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(columns: &[(&str, &str, &str)]) -> Tables {
        Tables(columns.iter().map(|(t, c, k)| ((*t).to_owned(), (*c).to_owned(), (*k).to_owned())).collect())
    }

    #[test]
    fn a_password_is_no_part_of_what_others_see() {
        let server = Server::at("postgres://me:s%2Bc%40ret+@h:1/d").expect("an address");
        assert_eq!(server.name(), "postgres://me@h:1/d");
        assert_eq!(server.password.as_deref(), Some("s+c@ret+"));
        assert!(Server::at("http://h/d").is_err() && Server::at("h/d").is_err());
    }

    #[test]
    fn both_generations_of_names_are_read() {
        let old = tables(&[
            ("records", "classification_id", "integer"),
            ("records", "tsp_server", "integer"),
            ("records", "payload", "bytea"),
            ("records", "backtrace", "character varying"),
            ("classification", "classification", "character varying"),
        ])
        .statement();
        assert!(old.contains("LEFT JOIN classification ON classification.id = r.classification_id"), "{old}");
        assert!(old.contains("r.tsp_server::text") && old.contains("COALESCE(NULLIF(r.payload, ''::bytea)"), "{old}");
        let new = tables(&[("records", "classification", "text"), ("records", "timestamp_server", "numeric")]);
        let new = new.statement();
        assert!(!new.contains("JOIN") && new.contains("NULLIF(r.classification::text, '')"), "{new}");
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        assert_eq!(unescaped("\\N"), None);
        assert_eq!(unescaped(""), Some(Ok(String::new())));
        assert_eq!(unescaped("41c3a4"), Some(Ok("Aä".to_owned())));
        assert_eq!(unescaped("e4"), Some(Ok("ä".to_owned())), "Latin-1");
        assert_eq!((unescaped("4"), unescaped("zz")), (Some(Err(())), Some(Err(()))));
    }

    #[test]
    fn the_columns_are_those_of_the_table_of_records() {
        for (names, column) in COLUMNS.iter().zip(reported()) {
            let places: Vec<_> = names.iter().map(|name| super::super::row::place_of(name)).collect();
            assert!(places.iter().all(|place| place.is_some_and(|p| reported()[p].name == column.name)), "{names:?}");
        }
    }
}
