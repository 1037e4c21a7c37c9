//! The payload parsers of a server: taken anew when their files change, without a restart.
//!
//! Files that cannot be used change nothing: who writes one may not be done with it.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use telemetrics_analytics::parsers::PayloadParsers;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{compiled, definitions, troubles};
use crate::definition_files::{Stamp, names};
use crate::repeat;
use crate::serve::StartError;

/// Time between two looks at the files.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Parsers, and the files that they come from; clones share them.
#[derive(Clone)]
pub struct ParserFiles {
    parsers: PayloadParsers,
    last: Arc<Mutex<Last>>,
    /// Behind a lock of its own: whoever asks must not wait for files that are being read.
    troubles: Arc<Mutex<Vec<String>>>,
}

/// What was seen at the last look, usable or not.
#[derive(PartialEq, Eq)]
struct Last {
    directory: Option<PathBuf>,
    /// The files in the directory; or why it cannot be read.
    files: Result<Vec<(OsString, Stamp)>, ErrorKind>,
}

impl Last {
    fn look(directory: Option<&Path>) -> Self {
        let stamped = |directory: &Path| -> io::Result<Vec<(OsString, Stamp)>> {
            Ok(names(directory)?.into_iter().map(|name| (name.clone(), Stamp::at(&directory.join(name)))).collect())
        };
        let files = directory.map_or_else(|| Ok(Vec::new()), stamped);
        Self { directory: directory.map(Path::to_owned), files: files.map_err(|error| error.kind()) }
    }
}

impl ParserFiles {
    /// Those of a directory, or of the program alone.
    ///
    /// # Errors
    /// As [`super::load`].
    pub fn open(directory: Option<&Path>) -> Result<Self, StartError> {
        // Before they are read: what is written meanwhile is seen at the next look.
        let last = Arc::new(Mutex::new(Last::look(directory)));
        let parsers = PayloadParsers::new(compiled(directory, &definitions(directory)?)?);
        Ok(Self { parsers, last, troubles: Arc::default() })
    }

    /// What holds now, and what replaces it.
    #[must_use]
    pub fn parsers(&self) -> &PayloadParsers {
        &self.parsers
    }

    /// Why the files, as they were at the last look, are not what holds now: a sentence for each that is broken.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let read = definitions(directory).and_then(|definitions| compiled(directory, &definitions));
        let found = read.as_ref().err().map_or_else(Vec::new, |reason| troubles(directory, reason));
        *self.troubles.lock().unwrap_or_else(PoisonError::into_inner) = found;
        self.parsers.replace(read?);
        Ok(true)
    }

    /// Looks for changed files again and again, until it is time to stop.
    pub async fn watch(self, stop: CancellationToken) {
        repeat::every(LOOK_INTERVAL, stop, move || self.look()).await;
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
