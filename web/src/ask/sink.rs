//! Where an answer goes: standard output, or a file that gets its name when it is whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::client::Answer;
use super::progress::Progress;
use crate::serve::StartError;

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

    /// Whether it is a file, so that the terminal is free for what is said meanwhile.
    pub(super) const fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Takes all of an answer; a file gets its name then, and is on disk.
    ///
    /// # Errors
    /// When the answer was broken off, or cannot be written; no file is left then.
    pub(super) async fn fill(mut self, answer: &mut Answer, mut progress: Progress<'_>) -> Result<(), StartError> {
        while let Some(piece) = answer.next().await? {
            match &mut self {
                Self::Output => io::stdout().write_all(&piece)?,
                Self::File { file, .. } => file.write_all(&piece)?,
            }
            progress.add(piece.len() as u64).await;
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
