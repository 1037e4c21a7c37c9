//! What documents name: links, settings, variables, commands with their options, and files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use telemetrics_testkit::document::blocks;
use telemetrics_web::cli::Cli;
use telemetrics_web::config::settings::{SETTINGS, Setting};

use super::in_repository;

/// Documents that there are at least: fewer would mean that the tests look in the wrong place.
const DOCUMENTS_MIN: usize = 20;
/// Folders of the repository that documents name files of.
const FOLDERS: [&str; 6] = ["deploy/", "docs/", "scripts/", "web/", "benches/", "testdata/"];
/// Variables that are no settings.
const VARIABLES: [&str; 3] = ["TELEMETRICS_LOG", "TELEMETRICS_PSQL", "TELEMETRICS_UPDATE_DOCS"];
/// Where the package puts documents.
const INSTALLED: &str = "/usr/share/doc/telemetrics/";

/// The paths of all documents, from the root of the repository.
fn documents() -> Vec<String> {
    let folder = fs::read_dir(in_repository("docs")).expect("the documents");
    let names = folder.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    let markdown = names.filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "md"));
    let mut found: Vec<String> = markdown.map(|name| format!("docs/{name}")).collect();
    found.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "schema/migrations/README.md"].map(str::to_owned));
    assert!(found.len() >= DOCUMENTS_MIN, "{found:?}");
    found
}

fn text(document: &str) -> String {
    fs::read_to_string(in_repository(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// A document without its blocks of code.
fn prose(document: &str) -> String {
    let text = text(document);
    let (mut prose, mut is_code) = (String::new(), false);
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if !is_code && !is_fence {
            prose.extend([line, "\n"]);
        }
    }
    prose
}

/// What stands between single backticks.
fn inline(prose: &str) -> Vec<String> {
    let paragraphs = prose.split("\n\n");
    let of_paragraph = |paragraph: &str| {
        let parts = paragraph.split('`').skip(1).step_by(2);
        parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    paragraphs.flat_map(of_paragraph).collect()
}

/// The end of the address of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        let prose = prose(&document);
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&document).parent().expect("a folder");
            let target = if path.is_empty() { document.clone() } else { folder.join(path).display().to_string() };
            assert!(in_repository(&target).exists(), "{document}: there is no {target}");
            if !heading.is_empty() {
                let text = text(&target);
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let is_there = headings.any(|line| anchor(line.trim_start_matches('#')) == heading);
                assert!(is_there, "{document}: {target} has no heading {heading}");
            }
        }
    }
}

/// The sections that settings are in: `sql` of `sql.rows`.
fn sections() -> BTreeSet<&'static str> {
    SETTINGS.iter().filter_map(|setting| setting.key.rsplit_once('.')).map(|(section, _)| section).collect()
}

#[test]
fn every_setting_and_variable_is_known() {
    let (sections, mut named) = (sections(), 0);
    for document in documents() {
        let prose = prose(&document);
        for word in inline(&prose) {
            let key = word.split([' ', '=']).next().unwrap_or_default();
            let is_plain = key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.');
            let is_setting = key.rsplit_once('.').is_some_and(|(section, _)| sections.contains(section));
            // A module of the same name, in the documents about the sources.
            let is_file =
                Path::new(key).extension().is_some_and(|ending| ["rs", "md", "toml"].iter().any(|e| ending == *e));
            if is_plain && is_setting && !is_file {
                assert!(Setting::named(key).is_some(), "{document}: there is no setting {key}");
                named += 1;
            }
            let section = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            // Keys of views, parsers and clients are in sections, too.
            let is_other = |name: &str| ["settings", "fields", "columns"].contains(&name);
            let is_name =
                |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.');
            if let Some(section) = section.filter(|name| is_name(name) && !is_other(name)) {
                assert!(sections.contains(section), "{document}: there is no section {section}");
            }
        }
        let whole = text(&document);
        let words = whole.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        for word in words.filter(|word| word.starts_with("TELEMETRICS_") && !word.starts_with("TELEMETRICS_TEST_")) {
            let is_known = SETTINGS.iter().any(|setting| setting.variable() == word) || VARIABLES.contains(&word);
            assert!(is_known, "{document}: there is no variable {word}");
        }
    }
    assert!(named > SETTINGS.len(), "{named}");
}

/// What a line of a shell asks the program to do, where it does.
fn asked(line: &str) -> Option<&str> {
    let line = line.strip_prefix("sudo ").unwrap_or(line);
    line.strip_prefix("telemetrics ").or_else(|| line.strip_prefix("cargo run --release -- "))
}

#[test]
fn every_command_and_option_of_the_program_exists() {
    let mut checked = 0;
    for document in documents() {
        let of_blocks = blocks(&document).into_iter().filter(|block| block.language == "sh").map(|block| block.text);
        let lines = of_blocks.flat_map(|text| text.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
        for line in lines.chain(inline(&prose(&document))) {
            let Some(words) = asked(&line) else { continue };
            let mut command = Cli::command();
            let mut is_named = false;
            for word in words.split_whitespace() {
                if let Some(option) = word.strip_prefix("--") {
                    let option = option.split('=').next().unwrap_or_default().trim_end_matches([',', '.', '\'']);
                    let mut own = command.get_arguments().filter_map(clap::Arg::get_long);
                    let is_known = own.any(|long| long == option) || ["version", "help"].contains(&option);
                    assert!(is_known, "{document}: {line}: {} has no --{option}", command.get_name());
                    // What follows may be its value.
                    is_named = true;
                } else if command.has_subcommands() && !is_named {
                    // One of several that a sentence names together.
                    let named = word.split('|').map(|name| command.find_subcommand(name));
                    let next = named.collect::<Option<Vec<_>>>().and_then(|named| named.first().copied());
                    command = next.unwrap_or_else(|| panic!("{document}: {line}: there is no {word}")).clone();
                }
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn every_file_that_is_named_exists() {
    let package = text("web/Cargo.toml");
    let installs = |name: &str| {
        let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
        let into = format!("usr/share/doc/telemetrics/{folder}{}", if folder.is_empty() { "" } else { "/" });
        package.contains(&format!("\"usr/share/doc/telemetrics/{name}\""))
            || package.lines().any(|asset| {
                let source =
                    asset.trim().strip_prefix("[\"").and_then(|rest| rest.split('"').next()).unwrap_or_default();
                let is_meant = file.is_empty() || source.ends_with(file) || source.contains("/*.");
                asset.contains(&format!("\"{into}\"")) && is_meant
            })
    };
    for document in documents() {
        let in_blocks: String = blocks(&document).into_iter().map(|block| block.text).collect();
        let words = inline(&prose(&document)).join(" ") + " " + &in_blocks;
        for word in words.split_whitespace() {
            let word = word.trim_matches(['"', '\'', '(', ')', ',', '.', ':', ';']);
            let is_pattern = word.contains(['*', '{', '<', '$', '|', '=']) || word.contains("...");
            if FOLDERS.iter().any(|folder| word.starts_with(folder)) && !is_pattern {
                assert!(in_repository(word).exists(), "{document}: there is no {word}");
            }
            if let Some(name) = word.strip_prefix(INSTALLED) {
                assert!(installs(name), "{document}: the package has no {word}");
            }
        }
    }
}
