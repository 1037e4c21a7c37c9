//! Looks at the directory of views again and again. What is new or changed is read and planned; the rest stays as it is.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use telemetrics_analytics::Error;
use telemetrics_schema::time::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::{Catalog, Definition, FILE_BYTES_MAX, Listed, VIEWS_MAX};
use crate::api::sql::Statements;
use crate::definition_files::{self, ENDING, Stamp};
use crate::error::WebError;

/// Time between two looks at the directory.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Longest name of a view in an address, in characters.
const NAME_CHARS: usize = 60;

/// The views of a server, as they are now.
#[derive(Clone)]
pub struct Views {
    catalog: watch::Receiver<Arc<Catalog>>,
    _watcher: Arc<Watcher>,
}

/// Ends the looks when nobody asks for views any more.
struct Watcher(JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Views {
    /// Looks at `directory`, which may be missing, and goes on doing so. Statements are planned by `statements`.
    pub async fn start(directory: PathBuf, statements: Statements, clock: Arc<dyn Clock>) -> Self {
        let mut shelf = Shelf { directory, statements, clock, known: HashMap::new(), trouble: None };
        let (sender, catalog) = watch::channel(Arc::new(shelf.look().await.unwrap_or_default()));
        let watcher = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                if let Some(catalog) = shelf.look().await {
                    sender.send_replace(Arc::new(catalog));
                }
            }
        });
        Self { catalog, _watcher: Arc::new(Watcher(watcher)) }
    }

    /// What there is.
    #[must_use]
    pub fn now(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }
}

/// One look at `directory`.
pub async fn look(directory: PathBuf, statements: Statements, clock: Arc<dyn Clock>) -> Catalog {
    let mut shelf = Shelf { directory, statements, clock, known: HashMap::new(), trouble: None };
    shelf.look().await.unwrap_or_default()
}

/// A file that was read.
struct Known {
    stamp: Stamp,
    view: Result<Arc<Definition>, String>,
    /// Whether another look at the same bytes would say the same.
    is_settled: bool,
}

/// A file of the directory.
struct Found {
    name: OsString,
    stamp: Stamp,
    /// What is in it; `None` where it is the one that was read before.
    text: Option<Result<String, String>>,
}

struct Shelf {
    directory: PathBuf,
    statements: Statements,
    clock: Arc<dyn Clock>,
    known: HashMap<OsString, Known>,
    /// Why the directory cannot be read.
    trouble: Option<String>,
}

impl Shelf {
    /// What there is, if that is something else than at the last look.
    async fn look(&mut self) -> Option<Catalog> {
        let settled = self.known.iter().filter(|(_, known)| known.is_settled);
        let settled: HashMap<OsString, Stamp> = settled.map(|(name, known)| (name.clone(), known.stamp)).collect();
        let directory = self.directory.clone();
        let found = tokio::task::spawn_blocking(move || list(&directory, &settled)).await;
        let (found, left_out) = self.reported(found.map_err(io::Error::other).flatten())?;
        let mut known = HashMap::new();
        let mut is_changed = found.len() != self.known.len();
        for Found { name, stamp, text } in &found {
            let before = self.known.remove(name);
            let now = match (text, before) {
                (None, Some(before)) => before,
                (text, before) => {
                    let (view, is_settled) = self.judge(text.as_ref()).await;
                    is_changed |= is_news(before.as_ref(), *stamp, &view, name);
                    Known { stamp: *stamp, view, is_settled }
                }
            };
            known.insert(name.clone(), now);
        }
        self.known = known;
        is_changed.then(|| self.catalog(&found, left_out))
    }

    /// What a look found; a directory that is missing is empty, and one that cannot be read is as it was.
    fn reported(&mut self, found: io::Result<(Vec<Found>, usize)>) -> Option<(Vec<Found>, usize)> {
        let trouble = match found {
            Ok(found) => {
                self.trouble = None;
                return Some(found);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some((Vec::new(), 0)),
            Err(error) => error.to_string(),
        };
        if self.trouble.as_ref() != Some(&trouble) {
            warn!(directory = %self.directory.display(), "the views cannot be read: {trouble}");
        }
        self.trouble = Some(trouble);
        None
    }

    /// The view in a text, or what is wrong with it; and whether that stays so.
    async fn judge(&self, text: Option<&Result<String, String>>) -> (Result<Arc<Definition>, String>, bool) {
        let read = match text {
            Some(Ok(text)) => Definition::read(text),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("it is gone".to_owned()),
        };
        let bound = read.and_then(|view| match view.bind(|_| None) {
            Ok(bound) => Ok((view, bound)),
            Err(invalid) => Err(invalid.to_string()),
        });
        let (view, bound) = match bound {
            Ok(bound) => bound,
            Err(reason) => return (Err(reason), true),
        };
        match self.statements.columns(bound, self.clock.now()).await {
            Ok(schema) => (view.shape.check(&schema).map(|()| Arc::new(view)), true),
            Err(error) => {
                let is_settled = matches!(error, WebError::Question(Error::Invalid(_)));
                (Err(format!("`sql`: {error}")), is_settled)
            }
        }
    }

    fn catalog(&self, found: &[Found], left_out: usize) -> Catalog {
        if left_out > 0 {
            warn!(directory = %self.directory.display(), "there are {left_out} files of views more than {VIEWS_MAX}");
        }
        let mut taken = HashSet::new();
        let listed = found.iter().filter_map(|found| {
            let file = found.name.to_string_lossy().into_owned();
            let view = self.known.get(&found.name)?.view.clone();
            Some(Listed { name: address_name(&file, &mut taken), file, view })
        });
        Catalog { views: listed.collect(), left_out }
    }
}

/// Whether a file says something else than before, which the log then says.
fn is_news(before: Option<&Known>, stamp: Stamp, view: &Result<Arc<Definition>, String>, name: &OsString) -> bool {
    let reason = |view: &Result<Arc<Definition>, String>| view.as_ref().err().cloned();
    let is_same = before.is_some_and(|before| before.stamp == stamp && reason(&before.view) == reason(view));
    match view {
        _ if is_same => {}
        Ok(_) => info!(file = ?name, "a view was read"),
        Err(reason) => warn!(file = ?name, "a view cannot be shown: {reason}"),
    }
    !is_same
}

/// The name of a file as a part of an address, another one for each file.
fn address_name(file: &str, taken: &mut HashSet<String>) -> String {
    let stem = file.strip_suffix(ENDING).unwrap_or(file);
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let name: String = stem.chars().take(NAME_CHARS).map(plain).collect();
    let others = (2..).map(|number| format!("{name}-{number}"));
    let mut names = [name.clone()].into_iter().chain(others);
    let free = names.find(|name| !taken.contains(name)).unwrap_or(name);
    taken.insert(free.clone());
    free
}

/// The first files of views in a directory, by name, and how many there are beyond them. Those in `settled` that are as
/// they were are not read.
fn list(directory: &Path, settled: &HashMap<OsString, Stamp>) -> io::Result<(Vec<Found>, usize)> {
    let mut names = definition_files::names(directory)?;
    let left_out = names.len().saturating_sub(VIEWS_MAX);
    names.truncate(VIEWS_MAX);
    let found = names.into_iter().map(|name| {
        let path = directory.join(&name);
        let metadata = fs::metadata(&path);
        let stamp = metadata.as_ref().map(Stamp::of).unwrap_or_default();
        if settled.get(&name) == Some(&stamp) {
            return Found { name, stamp, text: None };
        }
        let text = metadata.map_err(|error| error.to_string()).and_then(|metadata| read(&path, &metadata));
        Found { name, stamp, text: Some(text) }
    });
    Ok((found.collect(), left_out))
}

/// The text of a file, of which no more is read than one may have.
fn read(path: &Path, of: &fs::Metadata) -> Result<String, String> {
    if !of.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> (Vec<String>, usize) {
        let (found, left_out) = list(directory, &HashMap::new()).expect("a directory");
        (found.iter().map(|found| found.name.to_string_lossy().into_owned()).collect(), left_out)
    }

    #[test]
    fn the_first_files_by_name_are_views() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["b.toml", "a.toml", ".a.toml.swp", ".c.toml", "a.toml~", "README.md"] {
            fs::write(dir.path().join(name), "").expect("written");
        }
        assert_eq!(names(dir.path()), (["a.toml", "b.toml"].map(str::to_owned).to_vec(), 0));
        for number in 0..VIEWS_MAX {
            fs::write(dir.path().join(format!("{number:02}.toml")), "").expect("written");
        }
        let (first, left_out) = names(dir.path());
        assert_eq!((first.len(), first[0].as_str(), left_out), (VIEWS_MAX, "00.toml", 2));
    }

    #[test]
    fn a_file_is_read_again_when_it_is_another_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a.toml");
        fs::write(&file, "title = 1").expect("written");
        let (found, _) = list(dir.path(), &HashMap::new()).expect("a directory");
        assert_eq!(found[0].text, Some(Ok("title = 1".to_owned())));
        let settled = HashMap::from([(found[0].name.clone(), found[0].stamp)]);
        assert_eq!(list(dir.path(), &settled).expect("a directory").0[0].text, None);
        let other = dir.path().join("other");
        fs::write(&other, "title = 2").expect("written");
        fs::rename(&other, &file).expect("renamed");
        let (found, _) = list(dir.path(), &settled).expect("a directory");
        assert_eq!(found[0].text, Some(Ok("title = 2".to_owned())));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("a.toml")).expect("a directory");
        fs::write(dir.path().join("b.toml"), [0xff]).expect("written");
        std::os::unix::fs::symlink("nowhere", dir.path().join("c.toml")).expect("a link");
        fs::write(dir.path().join("d.toml"), "#".repeat(2 * FILE_BYTES_MAX)).expect("written");
        let (found, _) = list(dir.path(), &HashMap::new()).expect("a directory");
        let texts: Vec<_> = found.into_iter().map(|found| found.text.expect("read")).collect();
        assert_eq!(texts[..2], [Err("it is no file".to_owned()), Err("it is not UTF-8".to_owned())]);
        assert!(texts[2].is_err());
        assert_eq!(texts[3].as_ref().map(String::len), Ok(FILE_BYTES_MAX + 1), "enough to refuse it");
        assert_eq!(
            list(&dir.path().join("none"), &HashMap::new()).err().map(|e| e.kind()),
            Some(io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn every_file_has_an_address_of_its_own() {
        let mut taken = HashSet::new();
        let mut name = |file: &str| address_name(file, &mut taken);
        assert_eq!(name("My_View-1.toml"), "my_view-1");
        assert_eq!(name("my view-1.toml"), "my-view-1");
        assert_eq!(
            (name("<b>.toml"), name("[b].toml"), name("\u{202e}b-.toml")),
            ("-b-".into(), "-b--2".into(), "-b--3".into())
        );
        assert_eq!(name(&"ä".repeat(300)), "-".repeat(NAME_CHARS));
    }
}
