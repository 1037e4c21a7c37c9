//! Where an answer goes: standard output, or a file that gets its name when it is whole; and how far it is.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::client::Answer;
use crate::pages::text;
use crate::serve::StartError;

/// Time between two looks at how far it is.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

pub(super) enum Sink {
    Output,
    File { file: NamedTempFile, place: PathBuf },
}

impl Sink {
    /// # Errors
    /// When the file cannot be written beside its place.
    pub(super) fn open(place: Option<&Path>) -> Result<Self, StartError> {
        let Some(place) = place else { return Ok(Self::Output) };
        let directory = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".telemetrics-").tempfile_in(directory);
        let file = file.map_err(|error| format!("{}: {error}", place.display()))?;
        Ok(Self::File { file, place: place.to_owned() })
    }

    /// Takes all of an answer; a file gets its name then, and is on disk.
    ///
    /// # Errors
    /// When the answer was broken off, or cannot be written; no file is left then.
    pub(super) async fn fill(mut self, answer: &mut Answer) -> Result<(), StartError> {
        let mut progress = Progress::new(matches!(self, Self::File { .. }));
        while let Some(piece) = answer.next().await? {
            match &mut self {
                Self::Output => io::stdout().write_all(&piece)?,
                Self::File { file, .. } => file.write_all(&piece)?,
            }
            progress.add(piece.len() as u64);
        }
        match self {
            Self::Output => io::stdout().flush()?,
            Self::File { file, place } => {
                file.as_file().sync_all()?;
                file.persist(&place).map_err(|error| format!("{}: {}", place.display(), error.error))?;
            }
        }
        progress.end();
        Ok(())
    }
}

/// A line on standard error that is written over, where that is a terminal.
struct Progress {
    is_shown: bool,
    begun: Instant,
    shown: Option<Instant>,
    bytes: u64,
}

impl Progress {
    fn new(is_wanted: bool) -> Self {
        let is_shown = is_wanted && io::stderr().is_terminal();
        Self { is_shown, begun: Instant::now(), shown: None, bytes: 0 }
    }

    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.is_shown && self.shown.is_none_or(|shown| shown.elapsed() >= SHOWN_EVERY) {
            self.shown = Some(Instant::now());
            self.show("");
        }
    }

    fn show(&self, end: &str) {
        let per_s = self.bytes / self.begun.elapsed().as_secs().max(1);
        // Whether anybody sees it does not matter.
        let _ = write!(io::stderr(), "\r{}, {} a second    {end}", text::bytes(self.bytes), text::bytes(per_s));
    }

    fn end(&self) {
        if self.is_shown {
            self.show("\n");
        }
    }
}
