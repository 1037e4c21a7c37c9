//! Documents of the repository, so that a test can run the commands that they tell people to run.

use std::fs;

use crate::repository;

/// A block of code of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The heading above it.
    pub heading: String,
    /// What it is written in, as it says behind its fence.
    pub language: String,
    /// Its lines.
    pub text: String,
}

/// The blocks of code of the document at `path` in the repository, in their order; those in lists, too.
///
/// # Panics
/// When there is no such document.
#[must_use]
pub fn blocks(path: &str) -> Vec<Block> {
    let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    blocks_of(&text)
}

fn blocks_of(text: &str) -> Vec<Block> {
    let (mut blocks, mut heading, mut open) = (Vec::new(), "", None);
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { heading: heading.to_owned(), language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, None) if line.starts_with('#') => heading = line.trim_start_matches('#').trim(),
            (None, None) => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_with_their_headings() {
        let text = "# A\n```sh\nls\n# no heading\n```\nthen\n## B\n- one\n  ```\n\n  ```\n";
        let block = |heading: &str, language: &str, text: &str| Block {
            heading: heading.into(),
            language: language.into(),
            text: text.into(),
        };
        assert_eq!(blocks_of(text), [block("A", "sh", "ls\n# no heading\n"), block("B", "", "\n")]);
    }
}
