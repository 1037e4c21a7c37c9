//! Payload parsers as files: those of the program, and those of a directory, where a file with the name of one of the
//! program's takes its place.

mod file;
pub mod trial;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use telemetrics_analytics::parsers::{Definition, PARSERS_MAX, ParserSet, PayloadParsers};

use crate::config::Config;
use crate::definition_files::names;
use crate::serve::StartError;

pub use file::FILE_BYTES_MAX;
pub use watch::{LOOK_INTERVAL, ParserFiles};

/// The files that are part of the program.
const BUNDLED: [(&str, &str); 3] = [
    ("heartbeat.toml", include_str!("../../parsers/heartbeat.toml")),
    ("machine-check.toml", include_str!("../../parsers/machine-check.toml")),
    ("updates.toml", include_str!("../../parsers/updates.toml")),
];

/// The parsers of a configuration.
///
/// # Errors
/// A sentence with the files that cannot be used, or that parse the same classification.
pub fn load(config: &Config) -> Result<PayloadParsers, StartError> {
    let directory = config.parsers_dir.as_deref();
    Ok(PayloadParsers::new(compiled(directory, &definitions(directory)?)?))
}

/// What the files of a directory say, and those of the program that it does not replace.
///
/// # Errors
/// A sentence with the file that cannot be read.
fn definitions(directory: Option<&Path>) -> Result<Vec<Definition>, String> {
    match directory {
        None => bundled(),
        Some(directory) => with_bundled(directory).map_err(|reason| described(directory, &reason)),
    }
}

/// # Errors
/// A sentence with the files that cannot be used.
fn compiled(directory: Option<&Path>, definitions: &[Definition]) -> Result<ParserSet, String> {
    ParserSet::compile(definitions).map_err(|error| match directory {
        None => error.to_string(),
        Some(directory) => described(directory, &error.to_string()),
    })
}

fn described(directory: &Path, reason: &str) -> String {
    format!("the payload parsers in {} cannot be used: {reason}", directory.display())
}

fn bundled() -> Result<Vec<Definition>, String> {
    BUNDLED.iter().map(|(name, text)| file::parse(name, text)).collect()
}

fn with_bundled(directory: &Path) -> Result<Vec<Definition>, String> {
    let mut all: BTreeMap<String, Definition> =
        bundled()?.into_iter().map(|definition| (definition.name.clone(), definition)).collect();
    let names = names(directory).map_err(|error| format!("the directory cannot be read: {error}"))?;
    if names.len() > PARSERS_MAX {
        return Err(format!("it has more than {PARSERS_MAX} files"));
    }
    for name in names {
        let shown = name.to_string_lossy().into_owned();
        let definition = file::read(&directory.join(name), &shown)?;
        all.insert(shown, definition);
    }
    Ok(all.into_values().collect())
}

/// Which files of a directory are broken, each by itself and with its reason; where none is, what is wrong with all.
fn troubles(directory: Option<&Path>, reason: &str) -> Vec<String> {
    let Some(directory) = directory else { return vec![reason.to_owned()] };
    let names = names(directory).unwrap_or_default().into_iter().take(PARSERS_MAX);
    let broken: Vec<String> = names.filter_map(|name| trouble(directory, &name)).collect();
    if broken.is_empty() { vec![reason.to_owned()] } else { broken }
}

/// What is wrong with one file.
fn trouble(directory: &Path, name: &OsStr) -> Option<String> {
    match file::read(&directory.join(name), &name.to_string_lossy()) {
        Ok(definition) => ParserSet::compile(&[definition]).err().map(|error| error.to_string()),
        Err(reason) => Some(reason),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

    use super::*;

    fn record(classification: &str, payload: &str) -> Record {
        let report = Report { classification: classification.into(), payload: payload.into(), ..Report::default() };
        Record { id: RecordId(1), ts_reception: TimestampUs(0), report }
    }

    fn made(config: &Config, classification: &str, payload: &str) -> String {
        let parsers = load(config).expect("parsers").for_store();
        parsers.attributes(&[&record(classification, payload)]).remove(0)
    }

    fn refusal(config: &Config) -> String {
        load(config).err().expect("refused").to_string()
    }

    /// A configuration with these files.
    fn with_files(files: &[(&str, &str)]) -> (tempfile::TempDir, Config) {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("written");
        }
        let config = Config { parsers_dir: Some(directory.path().to_owned()), ..Config::default() };
        (directory, config)
    }

    const HEARTBEAT: &str = "org.clearlinux/heartbeat/ping";

    #[test]
    fn those_of_the_program_read_what_probes_send() {
        let config = Config::default();
        let made = |class: &str, payload: &str| made(&config, class, payload);
        assert_eq!(made(HEARTBEAT, "hello\nuptime: 77\nBundles (0):\n"), r#"{"uptime_minutes":"77"}"#);
        assert_eq!(made(HEARTBEAT, "hello\n"), "");
        assert_eq!(
            made("org.clearlinux/mce/corrected", "CPU 3 BANK 7\nSTATUS 8C00004000010092 MCGSTATUS 0\n"),
            r#"{"mce_bank":"7","mce_cpu":"3","mce_status":"00010092"}"#
        );
        assert_eq!(
            made("org.clearlinux/swupd-client/update", "current_version=10\nserver_version=20\nresult=0\n"),
            r#"{"update_from":"10","update_result":"0","update_to":"20"}"#
        );
        assert_eq!(made("org.clearlinux/hello/world", "uptime: 77\n"), "");
    }

    #[test]
    fn a_file_takes_the_place_of_one_of_the_program() {
        let other = "classifications = [\"org.clearlinux/heartbeat/*\"]\n[fields]\nfirst = \"left(payload, 2)\"\n";
        let (_directory, config) = with_files(&[("heartbeat.toml", other), ("notes.txt", "x"), (".#a.toml", "x")]);
        assert_eq!(made(&config, HEARTBEAT, "hello\nuptime: 77\n"), r#"{"first":"he"}"#);
        let (_directory, config) = with_files(&[("heartbeat.toml", "classifications = []\n")]);
        assert_eq!(made(&config, HEARTBEAT, "uptime: 77\n"), "", "one without classifications switches it off");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let fields = "[fields]\na = \"payload\"\n";
        let conflict = format!("classifications = [\"{HEARTBEAT}\"]\n{fields}");
        let (directory, config) = with_files(&[("own.toml", &conflict)]);
        let expected = format!(
            "the payload parsers in {} cannot be used: heartbeat.toml and own.toml both parse {HEARTBEAT}: a \
             classification has one parser",
            directory.path().display()
        );
        assert!(refusal(&config).contains("heartbeat.toml and own.toml both parse"), "{}", refusal(&config));
        assert_eq!(refusal(&config), expected);
        for (text, reason) in [
            ("x", "own.toml: line 1"),
            ("classifications = \"a/b/c\"\n", "own.toml: line 1"),
            ("classifications = []\nname = 1\n", "own.toml: line 2"),
            ("classifications = [\"a/b/c\"]\n[fields]\na = \"nothing\"\n", "own.toml: the field a: "),
        ] {
            let (_directory, config) = with_files(&[("own.toml", text)]);
            assert!(refusal(&config).contains(reason), "{}", refusal(&config));
        }
        let config = Config { parsers_dir: Some("/nonexistent/parsers".into()), ..Config::default() };
        assert!(refusal(&config).contains("the directory cannot be read"), "{}", refusal(&config));
    }

    #[test]
    fn what_is_broken_when_it_is_read_again_changes_nothing() {
        let good = "classifications = [\"a/b/c\"]\n[fields]\nn = \"payload\"\n";
        let (directory, config) = with_files(&[("a.toml", good)]);
        let watched = ParserFiles::open(config.parsers_dir.as_deref()).expect("parsers");
        let made = || watched.parsers().for_store().attributes(&[&record("a/b/c", "x")]).remove(0);
        let reload = || watched.reload(config.parsers_dir.as_deref());
        assert_eq!(reload(), Ok(false));
        fs::write(directory.path().join("a.toml"), "x").expect("written");
        assert!(reload().is_err());
        assert_eq!(reload(), Ok(false), "said once");
        assert_eq!(made(), r#"{"n":"x"}"#);
        fs::write(directory.path().join("a.toml"), good.replace("n =", "m =")).expect("written");
        assert_eq!(reload(), Ok(true));
        assert_eq!(made(), r#"{"m":"x"}"#);
    }

    #[test]
    fn each_broken_file_is_told_until_it_is_repaired() {
        let good = "classifications = [\"a/b/c\"]\n[fields]\nn = \"payload\"\n";
        let (directory, config) = with_files(&[("a.toml", good)]);
        let watched = ParserFiles::open(config.parsers_dir.as_deref()).expect("parsers");
        let reload = || watched.reload(config.parsers_dir.as_deref());
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("written");
        assert_eq!(watched.troubles(), Vec::<String>::new());
        write("b.toml", "x");
        write("c.toml", &good.replace("payload", "nothing").replace("a/b", "d/e"));
        assert!(reload().is_err());
        let [first, second] = watched.troubles().try_into().expect("two files");
        assert!(
            first.starts_with("b.toml: line 1: ") && second.starts_with("c.toml: the field n: "),
            "{first} {second}"
        );
        write("b.toml", good);
        fs::remove_file(directory.path().join("c.toml")).expect("removed");
        assert!(reload().is_err());
        let [both] = watched.troubles().try_into().expect("one reason");
        assert!(both.contains("a.toml and b.toml both parse a/b/c"), "{both}");
        fs::remove_file(directory.path().join("b.toml")).expect("removed");
        assert_eq!((reload(), watched.troubles()), (Ok(true), Vec::new()));
        fs::remove_dir_all(directory.path()).expect("removed");
        assert!(reload().is_err());
        let [gone] = watched.troubles().try_into().expect("one reason");
        assert!(gone.contains("the directory cannot be read"), "{gone}");
    }

    #[test]
    fn a_directory_and_a_file_have_an_end() {
        let names: Vec<String> = (0..=PARSERS_MAX).map(|number| format!("{number}.toml")).collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "classifications = []\n")).collect();
        let (_directory, config) = with_files(&files);
        assert!(refusal(&config).contains("it has more than 100 files"), "{}", refusal(&config));
        let own = PARSERS_MAX - BUNDLED.len();
        let (_directory, config) = with_files(&files[..own]);
        assert!(load(&config).is_ok());
        let (_directory, config) = with_files(&files[..=own]);
        assert!(refusal(&config).contains("at most 100 parsers"), "{}", refusal(&config));
        let padded = |bytes: usize| format!("classifications = []\n#{}", "x".repeat(bytes - 22));
        let (_directory, config) = with_files(&[("a.toml", &padded(FILE_BYTES_MAX))]);
        assert!(load(&config).is_ok());
        let (_directory, config) = with_files(&[("a.toml", &padded(FILE_BYTES_MAX + 1))]);
        assert!(refusal(&config).contains("a.toml: has more than 65536 bytes"), "{}", refusal(&config));
    }
}
