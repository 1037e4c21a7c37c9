//! The first table of the file of results: every target of every section, and the programs that were measured.

use crate::figures::{Figure, Results};
use crate::report::{SECTIONS, Table, anchor, title};

/// The section that only says which programs were measured; it has no figures.
pub const PROGRAMS: &str = "programs";

/// Every target with what was measured, whether it holds, and in which section that stands.
#[must_use]
pub fn table(results: &Results) -> String {
    let mut table = Table::new(&["what", ">measured", ">target", "holds", "section"]);
    let mut sections: Vec<_> = results.sections().collect();
    sections.sort_by_key(|(name, _)| place(name));
    for (name, section) in sections {
        for figure in section.figures.iter().filter(|figure| figure.target.is_some()) {
            let link = format!("[{}](#{})", title(name), anchor(&title(name)));
            table.row(figure.cells().into_iter().chain([link]));
        }
    }
    table.text().to_owned()
}

/// How many targets hold, and how many there are.
#[must_use]
pub fn held(results: &Results) -> (usize, usize) {
    let all: Vec<bool> =
        results.sections().flat_map(|(_, section)| &section.figures).filter_map(Figure::holds).collect();
    (all.iter().filter(|holds| **holds).count(), all.len())
}

/// Text for the beginning of the file of results.
#[must_use]
pub fn text(results: &Results) -> String {
    let (held, all) = held(results);
    let programs = results.section(PROGRAMS).map_or_else(String::new, |programs| format!("{}\n\n", programs.machine));
    format!(
        "{held} of {all} targets hold. Each section says on which machine and revision, and by which command, it was \
         measured; in brackets: quartiles, or least and most.\n\n{programs}{}",
        table(results).trim_end()
    )
}

/// In the order in which the sections stand in the file.
fn place(name: &str) -> usize {
    SECTIONS.iter().position(|(known, _)| *known == name).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Figure, Section};

    #[test]
    fn every_target_is_in_it_in_the_order_of_the_sections() {
        let mut results = Results::default();
        let section = |what: &str, value| {
            let figures = vec![Figure::new("a", what, value, "").at_most(1.0), Figure::new("b", "no target", 1.0, "")];
            Section { figures, ..Section::default() }
        };
        results.put("batches", section("second", 2.0));
        results.put("ingest", section("first", 1.0));
        let text = text(&results);
        assert!(text.starts_with("1 of 2 targets hold."), "{text}");
        assert!(
            text.ends_with(
                "| first | 1 | at most 1 | yes | [Single records](#single-records) |\n\
             | second | 2 | at most 1 | **no** | [Batches](#batches) |"
            ),
            "{text}"
        );
    }
}
