//! The text of a file as the definition of a view; see `docs/views.md` for what stands in one.

use telemetrics_analytics::questions::trends::Interval;
use telemetrics_analytics::sql::{Bound, STATEMENT_BYTES_MAX, Template};

use super::columns::{Columns, Order, Shape};
use super::parameter::{INTEGER_MAX, Kind, NAME_CHARS, Parameter};
use crate::charts::{self, SERIES_MAX};
use crate::config::file::{self, Entry};
use crate::config::{Value, nearest};
use crate::error::InvalidParameter;

/// Largest file, in bytes: the longest statement with much around it.
pub const FILE_BYTES_MAX: usize = 2 * STATEMENT_BYTES_MAX;
/// Longest title, in characters.
pub const TITLE_CHARS: usize = 40;
/// Longest description, in characters.
pub const DESCRIPTION_CHARS: usize = 1_000;
/// Most parameters.
pub const PARAMETERS_MAX: usize = 12;
/// Longest label of a parameter, in characters.
pub const LABEL_CHARS: usize = 60;
/// Most choices of all parameters together.
pub const CHOICES_MAX: usize = 40;
/// Longest choice, in characters.
pub const CHOICE_CHARS: usize = 60;
/// Longest name of a column, in characters.
const COLUMN_CHARS: usize = 100;

const KEYS: [&str; 10] = [
    "title",
    "description",
    "kind",
    "sql",
    "parameters",
    "columns.label",
    "columns.series",
    "columns.values",
    "columns.order",
    "columns.every",
];
const PARAMETER_KEYS: [&str; 7] = ["name", "type", "label", "default", "choices", "min", "max"];
pub(super) const KINDS: [&str; 6] = ["table", "column", "stacked_column", "line", "share", "matrix"];
const TYPES: [&str; 6] = ["text", "integer", "days", "date", "choice", "system"];

/// What a file says: a statement, its parameters, and how its answer is shown.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its heading, and the label of its tab.
    pub title: String,
    /// What it is about, perhaps nothing.
    pub description: String,
    /// What can be asked.
    pub parameters: Vec<Parameter>,
    /// How the answer is shown.
    pub shape: Shape,
    template: Template,
}

impl Definition {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// A sentence about the first thing that is wrong, with its line where there is one.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > FILE_BYTES_MAX {
            return Err(format!("the file has more than {FILE_BYTES_MAX} bytes"));
        }
        let entries = file::entries(text).map_err(|(line, reason)| format!("line {line}: {reason}"))?;
        let fields = Fields { entries };
        fields.check_keys()?;
        let definition = Self {
            title: fields.required("title", TITLE_CHARS)?,
            description: fields.text("description", DESCRIPTION_CHARS)?.unwrap_or_default(),
            parameters: parameters(&fields)?,
            shape: shape(&fields)?,
            template: template(&fields)?,
        };
        definition.check_names()?;
        Ok(definition)
    }

    /// The statement with these values, by the names of parameters; a parameter without one has its default, and the
    /// usual system where it has none is empty.
    ///
    /// # Errors
    /// The parameter that cannot be used; or a statement that they cannot stand in, which has no name.
    pub fn bind(&self, given: impl Fn(&str) -> Option<String>) -> Result<Bound, InvalidParameter> {
        let mut literals = Vec::new();
        for parameter in &self.parameters {
            let value = given(&parameter.name).or_else(|| parameter.default.clone()).unwrap_or_default();
            literals.push((parameter.name.as_str(), parameter.literal(&value)?));
        }
        let literal = |name: &str| literals.iter().find(|(of, _)| *of == name).map(|(_, literal)| literal.clone());
        self.template
            .bind(literal)
            .map_err(|error| InvalidParameter::new("The statement", format!("is refused: {error}")))
    }

    /// Each parameter is in the statement, and the other way round.
    fn check_names(&self) -> Result<(), String> {
        let in_statement = self.template.names();
        let of_file = || self.parameters.iter().map(|parameter| parameter.name.as_str());
        if let Some(name) = in_statement.iter().find(|name| !of_file().any(|of| of == **name)) {
            return Err(format!("`sql` has ${name}, which is none of the parameters"));
        }
        match of_file().find(|name| !in_statement.contains(name)) {
            Some(name) => Err(format!("the parameter `{name}` is not in `sql`: write it as ${name}")),
            None => Ok(()),
        }
    }
}

fn template(fields: &Fields) -> Result<Template, String> {
    let sql = fields.required("sql", STATEMENT_BYTES_MAX)?;
    Template::parse(&sql).map_err(|error| format!("`sql`: {error}"))
}

fn shape(fields: &Fields) -> Result<Shape, String> {
    let kind = fields.required("kind", NAME_CHARS)?;
    if kind == "table" {
        return match fields.entries.iter().find(|entry| entry.key.starts_with("columns")) {
            Some(entry) => {
                Err(format!("line {}: a table shows all columns of its statement: leave out [columns]", entry.line))
            }
            None => Ok(Shape::Table),
        };
    }
    let columns = columns(fields)?;
    let one = |what: &str| match columns.values.len() {
        1 => Ok(()),
        _ => Err(format!("`columns.values` has one column {what}")),
    };
    if columns.series.is_some() {
        one("where there is `columns.series`")?;
    }
    let is_chart = matches!(kind.as_str(), "column" | "stacked_column" | "line");
    if !is_chart && matches!(columns.order, Order::Every(_)) {
        return Err(format!("`columns.every` is for charts, not for {kind}"));
    }
    match kind.as_str() {
        "column" => Ok(Shape::Chart(charts::Kind::Columns, columns)),
        "stacked_column" => Ok(Shape::Chart(charts::Kind::Stacked, columns)),
        "line" => Ok(Shape::Chart(charts::Kind::Lines, columns)),
        "share" if columns.series.is_some() => Err("a share has no `columns.series`".to_owned()),
        "share" => one("where `kind` is share").map(|()| Shape::Share(columns)),
        "matrix" if columns.series.is_none() => Err("a matrix needs `columns.series`: its columns".to_owned()),
        "matrix" => Ok(Shape::Matrix(columns)),
        other => Err(fields.at("kind", &no_word("kind", other, &KINDS))),
    }
}

fn columns(fields: &Fields) -> Result<Columns, String> {
    let order = match fields.text("columns.order", NAME_CHARS)?.as_deref() {
        None | Some("rows") => Order::Rows,
        Some("version") => Order::Version,
        Some(other) => return Err(fields.at("columns.order", &no_word("columns.order", other, &["rows", "version"]))),
    };
    let every = match fields.text("columns.every", NAME_CHARS)?.as_deref() {
        None => None,
        Some("hour") => Some(Interval::Hour),
        Some("day") => Some(Interval::Day),
        Some("week") => Some(Interval::Week),
        Some(other) => {
            return Err(fields.at("columns.every", &no_word("columns.every", other, &["hour", "day", "week"])));
        }
    };
    if order != Order::Rows && every.is_some() {
        return Err("`columns.every` is an order itself: leave out `columns.order`".to_owned());
    }
    Ok(Columns {
        label: fields.required("columns.label", COLUMN_CHARS)?,
        series: fields.text("columns.series", COLUMN_CHARS)?,
        values: fields.texts("columns.values", SERIES_MAX, COLUMN_CHARS)?,
        order: every.map_or(order, Order::Every),
    })
}

fn parameters(fields: &Fields) -> Result<Vec<Parameter>, String> {
    let Some(entry) = fields.find("parameters") else { return Ok(Vec::new()) };
    let Value::List(items) = &entry.value else {
        return Err(format!("line {}: each parameter is a section [[parameters]]", entry.line));
    };
    if items.len() > PARAMETERS_MAX {
        return Err(format!("there are more than {PARAMETERS_MAX} parameters"));
    }
    let mut parameters: Vec<Parameter> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let parameter = parameter(item).map_err(|reason| format!("parameter {}: {reason}", at + 1))?;
        if parameters.iter().any(|other| other.name == parameter.name) {
            return Err(format!("there are two parameters `{}`", parameter.name));
        }
        parameters.push(parameter);
    }
    let choices = parameters.iter().map(|parameter| match &parameter.kind {
        Kind::Choice(choices) => choices.len(),
        _ => 0,
    });
    if choices.sum::<usize>() > CHOICES_MAX {
        return Err(format!("the parameters have more than {CHOICES_MAX} choices together"));
    }
    Ok(parameters)
}

fn parameter(item: &Value) -> Result<Parameter, String> {
    let Value::Table(pairs) = item else { return Err("it is a section [[parameters]]".to_owned()) };
    let entries = pairs.iter().map(|(key, value)| Entry { key: key.clone(), value: value.clone(), line: 0 });
    let fields = Fields { entries: entries.collect() };
    if let Some(entry) = fields.entries.iter().find(|entry| !PARAMETER_KEYS.contains(&entry.key.as_str())) {
        return Err(unknown(&entry.key, &PARAMETER_KEYS));
    }
    let name = fields.required("name", NAME_CHARS)?;
    if !is_name(&name) {
        return Err("`name` has small letters, digits and _, and begins with a letter".to_owned());
    }
    let label = fields.text("label", LABEL_CHARS)?.unwrap_or_else(|| name.clone());
    let kind = kind(&fields)?;
    let default = match fields.find("default").map(|entry| &entry.value) {
        None if kind == Kind::System => None,
        None => return Err("`default` is missing: what is shown when nobody says anything".to_owned()),
        Some(Value::Text(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(other) => return Err(format!("`default` must be a text or a number, not {}", other.shown())),
    };
    let parameter = Parameter { name, label, kind, default };
    if let Some(default) = &parameter.default {
        parameter.literal(default).map_err(|invalid| format!("`default` of {invalid}"))?;
    }
    Ok(parameter)
}

fn kind(fields: &Fields) -> Result<Kind, String> {
    let word = fields.required("type", NAME_CHARS)?;
    if !TYPES.contains(&word.as_str()) {
        return Err(no_word("type", &word, &TYPES));
    }
    let only = |key: &str, of: &str| match fields.find(key) {
        Some(_) if word != of => Err(format!("`{key}` is for the type {of}")),
        _ => Ok(()),
    };
    only("choices", "choice")?;
    only("min", "integer")?;
    only("max", "integer")?;
    Ok(match word.as_str() {
        "text" => Kind::Text,
        "integer" => {
            let (min, max) = (fields.number("min", -INTEGER_MAX)?, fields.number("max", INTEGER_MAX)?);
            Kind::Integer { min, max }
        }
        "days" => Kind::Days,
        "date" => Kind::Date,
        "choice" => Kind::Choice(fields.texts("choices", CHOICES_MAX, CHOICE_CHARS)?),
        _ => Kind::System,
    })
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn unknown(key: &str, known: &[&str]) -> String {
    let shown: String = key.chars().take(COLUMN_CHARS).collect();
    let nearest = nearest(key, known.iter().copied()).unwrap_or_default();
    format!("unknown key `{shown}`; the nearest known key is `{nearest}`")
}

fn no_word(key: &str, word: &str, known: &[&str]) -> String {
    let nearest = nearest(word, known.iter().copied()).unwrap_or_default();
    format!("`{key}` must be one of {}, not `{word}`; the nearest is `{nearest}`", known.join(", "))
}

/// The entries of a file or of one of its parameters.
struct Fields {
    entries: Vec<Entry>,
}

impl Fields {
    fn check_keys(&self) -> Result<(), String> {
        match self.entries.iter().find(|entry| !KEYS.contains(&entry.key.as_str())) {
            Some(entry) => Err(format!("line {}: {}", entry.line, unknown(&entry.key, &KEYS))),
            None => Ok(()),
        }
    }

    fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// A sentence with the line of `key`, where it has one.
    fn at(&self, key: &str, sentence: &str) -> String {
        match self.find(key).map(|entry| entry.line).filter(|line| *line > 0) {
            Some(line) => format!("line {line}: {sentence}"),
            None => sentence.to_owned(),
        }
    }

    fn required(&self, key: &str, max_chars: usize) -> Result<String, String> {
        self.text(key, max_chars)?.ok_or_else(|| format!("`{key}` is missing"))
    }

    /// A text that is not empty.
    fn text(&self, key: &str, max_chars: usize) -> Result<Option<String>, String> {
        let Some(entry) = self.find(key) else { return Ok(None) };
        match &entry.value {
            Value::Text(text) if (1..=max_chars).contains(&text.chars().count()) => Ok(Some(text.clone())),
            other => {
                let sentence = format!("`{key}` must be a text of 1 to {max_chars} characters, not {}", other.shown());
                Err(self.at(key, &sentence))
            }
        }
    }

    fn texts(&self, key: &str, max_items: usize, max_chars: usize) -> Result<Vec<String>, String> {
        let entry = self.find(key).ok_or_else(|| format!("`{key}` is missing"))?;
        let texts = match &entry.value {
            Value::List(items) => items.iter().map(|item| short(item, max_chars)).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let texts = texts.filter(|texts| (1..=max_items).contains(&texts.len()));
        let refusal = || {
            let allowed = format!("a list of 1 to {max_items} texts of 1 to {max_chars} characters");
            self.at(key, &format!("`{key}` must be {allowed}, not {}", entry.value.shown()))
        };
        texts.ok_or_else(refusal)
    }

    fn number(&self, key: &str, default: i64) -> Result<i64, String> {
        match self.find(key).map(|entry| &entry.value) {
            None => Ok(default),
            Some(Value::Number(number)) if number.unsigned_abs() <= u128::from(INTEGER_MAX.unsigned_abs()) => {
                Ok(i64::try_from(*number).unwrap_or(default))
            }
            Some(other) => Err(format!("`{key}` must be a whole number from -2^53 to 2^53, not {}", other.shown())),
        }
    }
}

fn short(item: &Value, max_chars: usize) -> Option<String> {
    match item {
        Value::Text(text) if (1..=max_chars).contains(&text.chars().count()) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: &str = r#"
title = "Records by build"
description = "How many."
kind = "column"
sql = "SELECT build, count(*) AS records FROM records WHERE arch = $arch AND severity >= $least GROUP BY build"

[columns]
label = "build"
values = ["records"]
order = "version"

[[parameters]]
name = "arch"
type = "choice"
choices = ["x86_64", "aarch64"]
default = "x86_64"

[[parameters]]
name = "least"
label = "Least severity"
type = "integer"
min = 1
max = 4
default = 2
"#;

    fn refusal(text: &str) -> String {
        Definition::read(text).map_or_else(|reason| reason, |_| panic!("it is read:\n{text}"))
    }

    /// The reason why the view is refused with `to` in the place of `from`.
    fn changed(from: &str, to: &str) -> String {
        assert!(VIEW.contains(from), "{from}");
        refusal(&VIEW.replacen(from, to, 1))
    }

    #[test]
    fn a_file_is_a_definition() {
        let view = Definition::read(VIEW).expect("a view");
        assert_eq!((view.title.as_str(), view.description.as_str()), ("Records by build", "How many."));
        let columns = Columns {
            label: "build".to_owned(),
            series: None,
            values: vec!["records".to_owned()],
            order: Order::Version,
        };
        assert_eq!(view.shape, Shape::Chart(charts::Kind::Columns, columns));
        assert_eq!((view.parameters[0].label.as_str(), view.parameters[1].label.as_str()), ("arch", "Least severity"));
        let bound = view.bind(|name| (name == "arch").then(|| "aarch64".to_owned())).expect("bound");
        assert!(bound.text().contains("arch = 'aarch64' AND severity >= 2 "), "{}", bound.text());
        let refused = view.bind(|_| Some("5".to_owned())).expect_err("no choice");
        assert_eq!(refused.to_string(), "arch must be one of x86_64, aarch64.");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(changed("title", "titel"), "line 2: unknown key `titel`; the nearest known key is `title`");
        let column = changed("label = \"build\"", "labels = \"build\"");
        assert_eq!(column, "line 8: unknown key `columns.labels`; the nearest known key is `columns.label`");
        assert!(changed("\"column\"", "\"colum\"").starts_with("line 4: `kind` must be one of table, column,"));
        assert!(changed("kind = \"column\"", "").starts_with("`kind` is missing"));
        assert!(changed("\"How many.\"", "7").starts_with("line 3: `description` must be a text of 1 to 1000"));
        assert!(refusal("title = \n").starts_with("line 1: "));
        assert!(changed("\"version\"", "\"age\"").starts_with("line 10: `columns.order` must be one of rows, version"));
    }

    #[test]
    fn a_parameter_is_complete_and_in_the_statement() {
        assert_eq!(
            changed("type = \"choice\"", "typ = \"choice\""),
            "parameter 1: unknown key `typ`; the nearest known key is `type`"
        );
        assert!(changed("\"choice\"", "\"choise\"").ends_with("the nearest is `choice`"));
        assert!(changed("default = 2", "").starts_with("parameter 2: `default` is missing"));
        assert_eq!(
            changed("default = 2", "default = 5"),
            "parameter 2: `default` of least must be a whole number from 1 to 4."
        );
        assert!(changed("name = \"least\"", "name = \"Least\"").starts_with("parameter 2: `name` has small letters"));
        assert_eq!(changed("name = \"least\"", "name = \"arch\""), "there are two parameters `arch`");
        assert!(changed("arch = $arch", "arch = 'a'").starts_with("the parameter `arch` is not in `sql`"));
        assert!(
            changed("arch = $arch", "arch = $arch AND build = $build").starts_with("`sql` has $build, which is none")
        );
        assert_eq!(changed("min = 1", "choices = [\"1\"]"), "parameter 2: `choices` is for the type choice");
    }

    #[test]
    fn columns_fit_the_kind() {
        let kind = |kind: &str, more: &str| {
            let view = VIEW.replacen("\"column\"", &format!("\"{kind}\""), 1);
            view.replacen("order = \"version\"", more, 1)
        };
        for (name, more) in [
            ("stacked_column", "every = \"day\""),
            ("line", "series = \"arch\""),
            ("share", ""),
            ("matrix", "series = \"arch\""),
        ] {
            assert!(Definition::read(&kind(name, more)).is_ok(), "{name}");
        }
        assert!(refusal(&kind("table", "")).contains("leave out [columns]"));
        assert!(refusal(&kind("share", "series = \"arch\"")).contains("a share has no"));
        assert!(refusal(&kind("matrix", "")).contains("a matrix needs `columns.series`"));
        assert!(refusal(&kind("share", "every = \"day\"")).contains("is for charts"));
        assert!(refusal(&kind("line", "order = \"version\"\nevery = \"day\"")).contains("leave out `columns.order`"));
        let two = VIEW.replacen("[\"records\"]", "[\"records\", \"more\"]", 1);
        assert!(Definition::read(&two).is_ok());
        assert!(refusal(&two.replacen("order = \"version\"", "series = \"arch\"", 1)).contains("has one column"));
    }

    #[test]
    fn every_length_has_an_end() {
        let title = |chars: usize| VIEW.replacen("Records by build", &"ä".repeat(chars), 1);
        assert!(Definition::read(&title(TITLE_CHARS)).is_ok());
        assert!(refusal(&title(TITLE_CHARS + 1)).starts_with("line 2: `title` must be a text of 1 to 40 characters"));
        let description = |chars: usize| VIEW.replacen("How many.", &"ä".repeat(chars), 1);
        assert!(Definition::read(&description(DESCRIPTION_CHARS)).is_ok());
        refusal(&description(DESCRIPTION_CHARS + 1));
        let label = |chars: usize| VIEW.replacen("Least severity", &"ä".repeat(chars), 1);
        assert!(Definition::read(&label(LABEL_CHARS)).is_ok());
        refusal(&label(LABEL_CHARS + 1));
        let file = |bytes: usize| format!("{VIEW}#{}", "x".repeat(bytes - VIEW.len() - 1));
        assert!(Definition::read(&file(FILE_BYTES_MAX)).is_ok());
        assert_eq!(refusal(&file(FILE_BYTES_MAX + 1)), "the file has more than 131072 bytes");
        let sql = |bytes: usize| VIEW.replacen("SELECT", &format!("SELECT{}", " ".repeat(bytes)), 1);
        let free = STATEMENT_BYTES_MAX
            - "SELECT build, count(*) AS records FROM records WHERE arch = $arch AND severity >= $least GROUP BY build"
                .len();
        assert!(Definition::read(&sql(free)).is_ok());
        refusal(&sql(free + 1));
    }

    #[test]
    fn parameters_and_choices_have_a_largest_number() {
        let with = |parameters: &str, sql: &str| {
            format!("title = \"t\"\nkind = \"table\"\nsql = \"SELECT 1 AS one, {sql}\"\n{parameters}")
        };
        let texts = |count: usize| {
            let parameter = |at| format!("[[parameters]]\nname = \"p{at}\"\ntype = \"text\"\ndefault = \"\"\n");
            let sql: Vec<String> = (0..count).map(|at| format!("$p{at} AS p{at}")).collect();
            with(&(0..count).map(parameter).collect::<String>(), &sql.join(", "))
        };
        assert!(Definition::read(&texts(PARAMETERS_MAX)).is_ok());
        assert_eq!(refusal(&texts(PARAMETERS_MAX + 1)), "there are more than 12 parameters");
        let choices = |count: usize, chars: usize| {
            let choices: Vec<String> = (0..count).map(|at| format!("\"{at:0>chars$}\"")).collect();
            let parameter =
                format!("type = \"choice\"\nchoices = [{}]\ndefault = {}\n", choices.join(", "), choices[0]);
            with(&format!("[[parameters]]\nname = \"p\"\n{parameter}"), "$p AS p")
        };
        assert!(Definition::read(&choices(CHOICES_MAX, CHOICE_CHARS)).is_ok());
        refusal(&choices(CHOICES_MAX + 1, CHOICE_CHARS));
        refusal(&choices(CHOICES_MAX, CHOICE_CHARS + 1));
        let two = choices(CHOICES_MAX, 2).replacen("$p AS p", "$p AS p, $q AS q", 1)
            + "[[parameters]]\nname = \"q\"\ntype = \"choice\"\nchoices = [\"a\"]\ndefault = \"a\"\n";
        assert_eq!(refusal(&two), "the parameters have more than 40 choices together");
        let name = |chars: usize| texts(1).replace("p0", &"p".repeat(chars));
        assert!(Definition::read(&name(NAME_CHARS)).is_ok());
        refusal(&name(NAME_CHARS + 1));
    }
}
