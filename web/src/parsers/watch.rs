//! The payload parsers of a server: taken anew when their files change, without a restart.
//!
//! Files that cannot be used change nothing: who writes one may not be done with it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use telemetrics_analytics::parsers::{Definition, PayloadParsers};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{compiled, definitions};
use crate::serve::StartError;

/// Time between two looks at the files.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Parsers, and where they come from; clones share them.
#[derive(Clone)]
pub struct Watched {
    parsers: PayloadParsers,
    last: Arc<Mutex<Last>>,
}

/// What was seen at the last look, usable or not.
#[derive(PartialEq, Eq)]
struct Last {
    directory: Option<PathBuf>,
    definitions: Result<Vec<Definition>, String>,
}

impl Last {
    fn look(directory: Option<&Path>) -> Self {
        Self { directory: directory.map(Path::to_owned), definitions: definitions(directory) }
    }
}

impl Watched {
    /// Those of a directory, or of the program alone.
    ///
    /// # Errors
    /// As [`super::load`].
    pub fn open(directory: Option<&Path>) -> Result<Self, StartError> {
        let last = Last::look(directory);
        let parsers = PayloadParsers::new(compiled(directory, last.definitions.as_deref().map_err(String::clone)?)?);
        Ok(Self { parsers, last: Arc::new(Mutex::new(last)) })
    }

    /// What holds now, and what replaces it.
    #[must_use]
    pub fn parsers(&self) -> &PayloadParsers {
        &self.parsers
    }

    /// Takes what the files of `directory` say, when it is something else than at the last look. Whether it did.
    /// Records that are stored keep their attributes until `telemetrics reparse`.
    ///
    /// # Errors
    /// Why they cannot be used; everything stays as it was.
    pub fn reload(&self, directory: Option<&Path>) -> Result<bool, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Last::look(directory);
        if *last == seen {
            return Ok(false);
        }
        *last = seen;
        let definitions = last.definitions.as_deref().map_err(String::clone)?;
        self.parsers.replace(compiled(directory, definitions)?);
        Ok(true)
    }

    /// Looks for changed files again and again, until it is time to stop.
    pub async fn watch(self, stop: CancellationToken) {
        while tokio::time::timeout(LOOK_INTERVAL, stop.cancelled()).await.is_err() {
            let looking = self.clone();
            if tokio::task::spawn_blocking(move || looking.look()).await.is_err() {
                return;
            }
        }
    }

    fn look(&self) {
        let directory = self.last.lock().unwrap_or_else(PoisonError::into_inner).directory.clone();
        match self.reload(directory.as_deref()) {
            Ok(true) => info!("the payload parsers were read anew"),
            Ok(false) => {}
            Err(reason) => error!(%reason, "the payload parsers stay as they were"),
        }
    }
}
