//! Tables in Markdown, and their places in the file of results.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::Failure;

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
    /// Prints `text`, and puts it into the section `name` when that is wanted; `machine` says where it was measured.
    ///
    /// # Errors
    /// When the file cannot be written or has no such section.
    pub fn publish(&self, name: &str, machine: &str, text: &str) -> Result<(), Failure> {
        let section = format!("{}\n\n{machine}\n\n{}", command_line(), text.trim());
        println!("{section}");
        if self.write {
            let file = fs::read_to_string(&self.results)?;
            fs::write(&self.results, replace_section(&file, name, &section)?)?;
        }
        Ok(())
    }
}

/// The command that this process was started with, as a person types it.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("`cargo run --release -p telemetrics-benches -- {}`", arguments.join(" "))
}

fn replace_section(file: &str, name: &str, section: &str) -> Result<String, Failure> {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let missing = || format!("the file of results has no section {name}");
    let (before, rest) = file.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
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
        assert!(replace_section(file, "c", "new").is_err());
    }
}
