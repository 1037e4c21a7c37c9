//! Tables in Markdown, and their places in the file of results.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::figures::{self, Figure, Results, Section};
use crate::{Failure, summary};

/// The sections of the file of results and their headings, in the order in which `report` measures them.
pub const SECTIONS: &[(&str, &str)] = &[
    ("ingest", "Single records"),
    ("batches", "Batches"),
    ("stores", "Stores"),
    ("questions", "Questions"),
    ("growth", "Growth"),
    ("exports", "Exports"),
    ("pages", "Pages"),
    ("start", "Start"),
    ("roles", "Memory of each role"),
    ("building", "Building"),
    ("soak-embedded", "Soak, embedded store"),
    ("soak-clickhouse", "Soak, ClickHouse"),
    ("profile", "Where the time goes"),
];

/// What becomes of a table beside being printed.
#[derive(Debug, Clone, clap::Args)]
pub struct Destination {
    /// Put the table into its section of the file of results.
    #[arg(long)]
    pub write: bool,
    /// The file of results.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"))]
    #[arg(hide_default_value = true)]
    pub results: PathBuf,
}

impl Destination {
    /// Prints `text` and the targets among `figures`; puts both into the section `name`, and the figures into the summary
    /// and into the file of data beside, when that is wanted. `machine` says where it was measured.
    ///
    /// # Errors
    /// When a figure is no number, or the files cannot be written.
    pub fn publish(&self, name: &str, machine: &str, text: &str, figures: &[Figure]) -> Result<(), Failure> {
        figures::check(figures)?;
        let command = command_line();
        let text = format!("{command}\n\n{machine}\n\n{}\n\n{}", text.trim(), figures::targets(figures));
        println!("{}", text.trim());
        let section = Section { command, machine: machine.to_owned(), figures: figures.to_vec() };
        if self.write { self.keep(name, section, text.trim()) } else { Ok(()) }
    }

    /// Puts `section` into both files, and `text` where people read about it.
    fn keep(&self, name: &str, section: Section, text: &str) -> Result<(), Failure> {
        let mut results = self.measured()?;
        results.put(name, section);
        let file = replace_section(&fs::read_to_string(&self.results)?, name, text)?;
        fs::write(&self.results, replace_section(&file, "summary", &summary::text(&results))?)?;
        results.write(&self.data())
    }

    /// Says which programs are measured, in the summary.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn note_programs(&self, programs: &str) -> Result<(), Failure> {
        let mut results = self.measured()?;
        results.put(summary::PROGRAMS, Section { machine: programs.to_owned(), ..Section::default() });
        results.write(&self.data())
    }

    /// The newest figures of all sections.
    ///
    /// # Errors
    /// When the file of data holds anything else.
    pub fn measured(&self) -> Result<Results, Failure> {
        Results::read(&self.data())
    }

    /// The file of data: beside the file of results.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.results.with_file_name("results.json")
    }
}

/// The heading of a section.
#[must_use]
pub fn title(name: &str) -> String {
    SECTIONS.iter().find(|(known, _)| *known == name).map_or(name, |(_, title)| title).to_owned()
}

/// How a heading is named in a link.
#[must_use]
pub fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The command that this process was started with, as a person types it.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("`cargo run --release -p telemetrics-benches -- {}`", arguments.join(" "))
}

/// Puts `section` in the place of what `file` has of it, or at the end when there is nothing of it yet.
///
/// # Errors
/// When a section has a beginning and no end.
pub fn replace_section(file: &str, name: &str, section: &str) -> Result<String, Failure> {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let Some((before, rest)) = file.split_once(&begin) else {
        let file = file.trim_end();
        return Ok(format!("{file}\n\n## {}\n\n{begin}\n{section}\n\n{end}\n", title(name)));
    };
    let (_, after) = rest.split_once(&end).ok_or_else(|| format!("the section {name} has no end"))?;
    Ok(format!("{before}{begin}\n{section}\n\n{end}{after}"))
}

/// A table in Markdown.
#[derive(Debug, Clone)]
pub struct Table {
    text: String,
}

impl Table {
    /// With one column for each of `heads`: what begins with `>` is a number and stands to the right.
    #[must_use]
    pub fn new(heads: &[&str]) -> Self {
        let mut table = Self { text: String::new() };
        table.line(heads.iter().map(|head| head.trim_start_matches('>').to_owned()));
        table.line(heads.iter().map(|head| if head.starts_with('>') { "--:" } else { "---" }.to_owned()));
        table
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.line(cells.into_iter());
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn line(&mut self, cells: impl Iterator<Item = String>) {
        let line: Vec<String> = cells.collect();
        // Writing into a string cannot fail.
        let _ = writeln!(self.text, "| {} |", line.join(" | "));
    }
}

/// A number with its thousands apart: `12,345`.
#[must_use]
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |digits| ("-", digits));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `part` of `whole` with two digits; `-` when there is no whole.
#[must_use]
pub fn ratio(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.2}", part / whole) } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let mut table = Table::new(&["a", ">b"]);
        table.row(["x".to_owned(), thousands(1_234.6)]);
        assert_eq!(table.text(), "| a | b |\n| --- | --: |\n| x | 1,235 |\n");
    }

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0.0, "0"), (999.0, "999"), (1e3, "1,000"), (1_234_567.0, "1,234,567"), (-5e3, "-5,000")]
        {
            assert_eq!(thousands(number), text);
        }
        assert_eq!((ratio(1.0, 3.0), ratio(1.0, 0.0)), ("0.33".to_owned(), "-".to_owned()));
    }

    #[test]
    fn only_one_section_is_replaced() {
        let file = "# R\n<!-- begin a -->\nold\n<!-- end a -->\n<!-- begin b -->\nkept\n<!-- end b -->\n";
        let expected = "# R\n<!-- begin a -->\n\nnew\n\n<!-- end a -->\n<!-- begin b -->\nkept\n<!-- end b -->\n";
        let replaced = replace_section(file, "a", "new").expect("replaced");
        assert_eq!(replaced, expected);
        assert_eq!(replace_section(&replaced, "a", "new").expect("replaced"), expected);
        assert!(replace_section("<!-- begin a -->\n", "a", "new").is_err());
    }

    #[test]
    fn a_new_section_comes_behind_all_others() {
        let file = replace_section("# R\n", "soak-embedded", "new").expect("added");
        assert_eq!(
            file,
            "# R\n\n## Soak, embedded store\n\n<!-- begin soak-embedded -->\n\nnew\n\n<!-- end soak-embedded -->\n"
        );
        assert_eq!(anchor("Soak, embedded store"), "soak-embedded-store");
    }

    #[test]
    fn what_is_published_is_in_both_files_and_in_the_summary() {
        let directory = tempfile::tempdir().expect("a directory");
        let results = directory.path().join("RESULTS.md");
        fs::write(&results, "# R\n").expect("written");
        let destination = Destination { write: true, results: results.clone() };
        let figure = Figure::new("a", "an a", 2.0, "ms").at_most(1.0);
        destination.publish("ingest", "a machine", "a table", std::slice::from_ref(&figure)).expect("published");
        let text = fs::read_to_string(&results).expect("results");
        assert!(text.contains("a machine\n\na table\n\n| what") && text.contains("0 of 1 targets hold"), "{text}");
        assert_eq!(destination.measured().expect("data").figure("ingest", "a"), Some(&figure));
    }
}
