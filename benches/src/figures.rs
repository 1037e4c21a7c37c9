//! What was measured, as data: each figure with its unit, its spread and its target; kept beside the tables in JSON.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::report::{Table, thousands};

/// One measured number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// By which other programs find it: it stays the same, and is unique in its section.
    pub name: String,
    /// What it is, for people.
    pub what: String,
    /// The number.
    pub value: f64,
    /// Its unit; empty for a ratio.
    pub unit: String,
    /// Least and most, or the quartiles, of what was measured again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<[f64; 2]>,
    /// What it has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

/// Where a figure has to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// What one command measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Section {
    /// The command, as a person types it.
    pub command: String,
    /// What has to be known of the machine, and the revision.
    pub machine: String,
    /// The numbers.
    pub figures: Vec<Figure>,
}

/// The newest figures of each section.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Results(BTreeMap<String, Section>);

impl Figure {
    /// A number without spread and target.
    pub fn new(name: impl Into<String>, what: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), what: what.into(), value, unit: unit.to_owned(), spread: None, target: None }
    }

    /// It has to be `bound` or more.
    #[must_use]
    pub fn at_least(self, bound: f64) -> Self {
        Self { target: Some(Target::AtLeast(bound)), ..self }
    }

    /// It has to be `bound` or less.
    #[must_use]
    pub fn at_most(self, bound: f64) -> Self {
        Self { target: Some(Target::AtMost(bound)), ..self }
    }

    /// Between which two it was when it was measured again and again.
    #[must_use]
    pub fn within(self, spread: [f64; 2]) -> Self {
        Self { spread: Some(spread), ..self }
    }

    /// Whether it is where it has to be; `None` when it may be anything.
    #[must_use]
    pub fn holds(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(bound) => self.value >= bound,
            Target::AtMost(bound) => self.value <= bound,
        })
    }

    /// What, measured, target and whether that holds, as cells of a table.
    #[must_use]
    pub fn cells(&self) -> [String; 4] {
        let spread = self.spread.map_or_else(String::new, |spread| format!(" ({})", between(spread)));
        let measured = format!("{}{}{spread}", number(self.value), with_space(&self.unit));
        let target = self.target.map_or_else(String::new, |target| match target {
            Target::AtLeast(bound) => format!("at least {}", number(bound)),
            Target::AtMost(bound) => format!("at most {}", number(bound)),
        });
        let holds = self.holds().map_or("", |holds| if holds { "yes" } else { "**no**" });
        [self.what.clone(), measured, target, holds.to_owned()]
    }
}

/// A table of those of `figures` that have a target; empty when none has.
#[must_use]
pub fn targets(figures: &[Figure]) -> String {
    let mut table = Table::new(&["what", ">measured", ">target", "holds"]);
    let mut with_target = figures.iter().filter(|figure| figure.target.is_some()).peekable();
    if with_target.peek().is_none() {
        return String::new();
    }
    with_target.for_each(|figure| table.row(figure.cells()));
    table.text().to_owned()
}

/// Refuses what is no number: a measurement that gave nothing.
///
/// # Errors
/// When there is such a figure; the sentence names it.
pub fn check(figures: &[Figure]) -> Result<(), Failure> {
    match figures.iter().find(|figure| !figure.value.is_finite()) {
        Some(figure) => Err(format!("{} could not be measured: {}", figure.name, figure.value).into()),
        None => Ok(()),
    }
}

/// As many digits as say something.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        // Counts and bounds are whole.
        size if size >= 100.0 || value.fract() == 0.0 => thousands(value),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Two bounds, as `1.20..1.40`.
#[must_use]
pub fn between([low, high]: [f64; 2]) -> String {
    format!("{}..{}", number(low), number(high))
}

fn with_space(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

impl Results {
    /// What is in `file`; nothing when it is not there yet.
    ///
    /// # Errors
    /// When it holds anything else.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        match fs::read_to_string(file) {
            Ok(text) => Ok(serde_json::from_str(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces what is in `file`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        Ok(fs::write(file, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// Replaces what was known of one section.
    pub fn put(&mut self, name: &str, section: Section) {
        self.0.insert(name.to_owned(), section);
    }

    /// A section.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.0.get(name)
    }

    /// All sections, by name.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.0.iter().map(|(name, section)| (name.as_str(), section))
    }

    /// One figure.
    #[must_use]
    pub fn figure(&self, section: &str, name: &str) -> Option<&Figure> {
        self.section(section)?.figures.iter().find(|figure| figure.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_held_at_its_edge() {
        let figure = Figure::new("a", "an a", 1.5, "ms");
        assert_eq!(figure.holds(), None);
        for (figure, holds) in [
            (figure.clone().at_least(1.5), true),
            (figure.clone().at_least(1.51), false),
            (figure.clone().at_most(1.5), true),
            (figure.clone().at_most(1.49), false),
        ] {
            assert_eq!(figure.holds(), Some(holds), "{figure:?}");
        }
    }

    #[test]
    fn a_table_has_only_what_has_a_target() {
        let plain = Figure::new("a", "an a", 1.5, "ms");
        assert_eq!(targets(std::slice::from_ref(&plain)), "");
        let text = targets(&[plain, Figure::new("b", "a b", 1_234.0, "").at_least(0.5).within([12.34, 0.1])]);
        assert!(text.ends_with("| --- |\n| a b | 1,234 (12.3..0.10) | at least 0.50 | yes |\n"), "{text}");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(check(&[Figure::new("a", "", 0.0, "")]).is_ok());
        let error = check(&[Figure::new("a", "", f64::NAN, "")]).expect_err("no number");
        assert!(error.to_string().starts_with("a could not"), "{error}");
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("results.json");
        let mut results = Results::read(&file).expect("nothing yet");
        let figures = vec![Figure::new("a", "an a", 0.25, "ms").at_most(1.0).within([0.1, 0.3])];
        results.put("x", Section { command: "c".to_owned(), machine: "m".to_owned(), figures: figures.clone() });
        results.write(&file).expect("written");
        let read = Results::read(&file).expect("results");
        assert_eq!((&read, read.figure("x", "a")), (&results, figures.first()));
        assert!(read.figure("x", "b").is_none() && read.section("y").is_none());
    }
}
