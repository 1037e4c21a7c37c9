//! What users curate, kept in the store: every handler reads it, and edits come one after the other.
//!
//! What entries and undo mean is in `telemetrics_schema::curation`. Here is who may write the next entry: an edit names the
//! entry that it is based on, and where the history went on meanwhile, it is a conflict. With the embedded store the
//! history is a file of this process (`file.rs`). With ClickHouse it is a table that several web servers share (`table.rs`):
//! each of them looks for the edits of others before its own, and before an answer when it last looked
//! [`REFRESH_DISTANCE_MS`] ago.

mod carry;
mod error;
mod file;
mod table;

use std::path::Path;
use std::sync::{Arc, Mutex as BlockingMutex, PoisonError};

use clickhouse::Client;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::curation::{Curated, Entry, History, State, What, differences};
use telemetrics_schema::time::Clock;
use tokio::sync::{Mutex, watch};
use tracing::{Instrument as _, warn};

pub use carry::{Carried, CarryError, carry};
pub use error::CurationError;
pub use file::FileError;
use file::HistoryFile;
use table::{Table, Winner};

/// Edits that another web server took are seen after so long at the latest; the shared history is not asked more often.
pub const REFRESH_DISTANCE_MS: i64 = 500;
/// Most entries that a page of the history shows.
pub const PAGE_ENTRIES_MAX: usize = 100;
/// Largest size of the entries on a page of the history, unless one alone is larger.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

const US_PER_MS: i64 = 1_000;

/// Draws numbers that nobody else draws.
pub type Nonces = Box<dyn Fn() -> u64 + Send + Sync>;

/// See the module. Clones are the same one.
#[derive(Clone)]
pub struct Curation(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    nonces: Nonces,
    known: Mutex<Known>,
    shown: watch::Sender<Arc<State>>,
}

enum Store {
    File(Arc<BlockingMutex<HistoryFile>>),
    Table(Box<Table>),
}

/// What this process knows of the history.
#[derive(Default)]
struct Known {
    history: History,
    looked: Option<Look>,
}

/// The last look at a shared history: those who come soon after share its outcome.
struct Look {
    at: TimestampUs,
    outcome: Result<(), CurationError>,
}

/// What an import does with what its file does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// Removes it: then the state is what the file says.
    Replace,
    /// Keeps it.
    Add,
}

/// An edit before it is known what it leads to.
enum Edit {
    Do(What),
    Import(Import, Curated),
}

/// A piece of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// Number of the last entry of all.
    pub sequence: u64,
    /// Newest first.
    pub entries: Vec<PastEntry>,
    /// Whether there are older ones behind them.
    pub has_more: bool,
}

/// An entry and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastEntry {
    /// The entry.
    pub entry: Entry,
    /// The undo that is in force and names it.
    pub undone_by: Option<u64>,
}

impl Curation {
    /// The history below `directory`, which belongs to this process.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn in_directory(directory: &Path, clock: Arc<dyn Clock>, nonces: Nonces) -> Result<Self, FileError> {
        let (file, history) = HistoryFile::open(directory)?;
        let store = Store::File(Arc::new(BlockingMutex::new(file)));
        Ok(Self::new(store, history, clock, nonces))
    }

    /// The history in the database of `client`, which others may write as well. Nothing is asked yet. A request may take
    /// `timeout_ms` milliseconds.
    #[must_use]
    pub fn in_clickhouse(client: Client, timeout_ms: u64, clock: Arc<dyn Clock>, nonces: Nonces) -> Self {
        Self::new(Store::Table(Box::new(Table::new(client, timeout_ms))), History::default(), clock, nonces)
    }

    fn new(store: Store, history: History, clock: Arc<dyn Clock>, nonces: Nonces) -> Self {
        let shown = watch::Sender::new(Arc::new(history.state()));
        let known = Mutex::new(Known { history, looked: None });
        Self(Arc::new(Inner { store, clock, nonces, known, shown }))
    }

    /// What holds now. With ClickHouse it may be [`REFRESH_DISTANCE_MS`] old.
    ///
    /// # Errors
    /// [`CurationError::Unavailable`] when the store cannot be read.
    pub async fn state(&self) -> Result<Arc<State>, CurationError> {
        if let Store::Table(table) = &self.0.store {
            self.0.look(table, &mut *self.0.known.lock().await).await?;
        }
        Ok(self.0.shown.borrow().clone())
    }

    /// What holds as far as this process knows, and every change of it that it learns of.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<State>> {
        self.0.shown.subscribe()
    }

    /// What would hold after the edit. It saves nothing.
    ///
    /// # Errors
    /// As [`Curation::edit`].
    pub async fn preview(&self, based_on: u64, what: What) -> Result<Curated, CurationError> {
        let mut known = self.0.known.lock().await;
        if let Store::Table(table) = &self.0.store {
            self.0.look(table, &mut known).await?;
        }
        let entry = known.next_entry(based_on, Edit::Do(what), None)?;
        let entry = entry.ok_or_else(|| CurationError::Invalid("there is nothing to change".to_owned()))?;
        Ok(known.history.after(&entry.what))
    }

    /// Saves an edit that was made by `who` from the state `based_on`, and gives what holds then.
    ///
    /// # Errors
    /// See [`CurationError`].
    pub async fn edit(&self, based_on: u64, what: What, who: Option<String>) -> Result<Arc<State>, CurationError> {
        self.commit(based_on, Edit::Do(what), who).await
    }

    /// Saves what a file says as one entry, or nothing where it holds already, and gives what holds then.
    ///
    /// # Errors
    /// See [`CurationError`].
    pub async fn import(
        &self,
        based_on: u64,
        file: Curated,
        mode: Import,
        who: Option<String>,
    ) -> Result<Arc<State>, CurationError> {
        self.commit(based_on, Edit::Import(mode, file), who).await
    }

    /// At most `entries_max` entries before the number `before`, newest first; fewer when they are large.
    ///
    /// # Errors
    /// [`CurationError::Unavailable`] when the store cannot be read.
    pub async fn history(&self, before: Option<u64>, entries_max: usize) -> Result<HistoryPage, CurationError> {
        let mut known = self.0.known.lock().await;
        if let Store::Table(table) = &self.0.store {
            self.0.look(table, &mut known).await?;
        }
        let history = &known.history;
        let page = history.page(before, entries_max.min(PAGE_ENTRIES_MAX), PAGE_BYTES_MAX);
        let past = |entry: &&Entry| PastEntry { entry: (*entry).clone(), undone_by: history.undone_by(entry.sequence) };
        let has_more = page.last().is_some_and(|last| last.sequence > 1);
        Ok(HistoryPage { sequence: history.sequence(), entries: page.iter().map(past).collect(), has_more })
    }

    async fn commit(&self, based_on: u64, edit: Edit, who: Option<String>) -> Result<Arc<State>, CurationError> {
        let inner = Arc::clone(&self.0);
        // In a task of its own: a client that goes away must not end an edit in the middle.
        let task = tokio::spawn(async move { inner.commit(based_on, edit, who).await }.in_current_span());
        task.await.unwrap_or_else(|error| Err(CurationError::Unavailable(format!("the edit was not made: {error}"))))
    }
}

impl Inner {
    async fn commit(&self, based_on: u64, edit: Edit, who: Option<String>) -> Result<Arc<State>, CurationError> {
        let mut known = self.known.lock().await;
        if let Store::Table(table) = &self.store {
            self.catch_up(table, &mut known).await?;
        }
        let Some(entry) = known.next_entry(based_on, edit, who)? else { return Ok(self.shown.borrow().clone()) };
        let entry = Entry { time: self.clock.now(), nonce: (self.nonces)(), ..entry };
        match self.append(&entry).await? {
            Winner::Ours => push(&mut known.history, entry)?,
            Winner::Another(theirs) => {
                push(&mut known.history, theirs)?;
                let sequence = known.history.sequence();
                self.show(&known.history);
                return Err(CurationError::Conflict { based_on, sequence });
            }
        }
        self.show(&known.history);
        Ok(self.shown.borrow().clone())
    }

    async fn append(&self, entry: &Entry) -> Result<Winner, CurationError> {
        let file = match &self.store {
            Store::Table(table) => return table.append(entry).await,
            Store::File(file) => Arc::clone(file),
        };
        let mut line = entry.line().map_err(CurationError::unavailable)?;
        line.push('\n');
        let written = tokio::task::spawn_blocking(move || {
            file.lock().unwrap_or_else(PoisonError::into_inner).append(line.as_bytes())
        });
        let outcome = written.await.map_err(CurationError::unavailable)?;
        outcome
            .map(|()| Winner::Ours)
            .map_err(|error| CurationError::Unavailable(format!("the history of curation cannot be written: {error}")))
    }

    /// Looks for what others wrote, unless somebody did a moment ago.
    async fn look(&self, table: &Table, known: &mut Known) -> Result<(), CurationError> {
        let now = self.clock.now();
        let is_fresh = |look: &&Look| (0..REFRESH_DISTANCE_MS * US_PER_MS).contains(&(now.0 - look.at.0));
        match known.looked.as_ref().filter(is_fresh) {
            Some(look) => look.outcome.clone(),
            None => self.catch_up(table, known).await,
        }
    }

    /// Learns what others wrote.
    async fn catch_up(&self, table: &Table, known: &mut Known) -> Result<(), CurationError> {
        let began = self.clock.now();
        let before = known.history.sequence();
        let outcome = self.read(table, &mut known.history).await;
        if known.history.sequence() != before || known.history.sequence() != self.shown.borrow().sequence {
            self.show(&known.history);
        }
        // Who waited for a server that does not answer must not wait as long again, one after the other.
        let at = if outcome.is_ok() { began } else { self.clock.now() };
        known.looked = Some(Look { at, outcome: outcome.clone() });
        outcome
    }

    async fn read(&self, table: &Table, history: &mut History) -> Result<(), CurationError> {
        loop {
            let rows = table.from(history.sequence().max(1)).await?;
            let (is_last, mut rows) = (!rows.is_full, rows.entries.into_iter());
            if let Some(last) = history.entry(history.sequence())
                && rows.next().as_ref() != Some(last)
            {
                warn!("the history of curation in the database is another one than before: it is read anew");
                *history = History::default();
                continue;
            }
            for entry in rows {
                push(history, entry)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn show(&self, history: &History) {
        self.shown.send_replace(Arc::new(history.state()));
    }
}

/// Takes an entry that was read, or written.
fn push(history: &mut History, entry: Entry) -> Result<(), CurationError> {
    let found = entry.sequence;
    history.push(entry).map_err(|next| {
        CurationError::Unavailable(format!("entry {next} of the history of curation is missing before {found}"))
    })
}

impl Known {
    /// The entry that makes this edit, without its time and nonce; `None` for an import that changes nothing.
    fn next_entry(&self, based_on: u64, edit: Edit, who: Option<String>) -> Result<Option<Entry>, CurationError> {
        let sequence = self.history.sequence();
        if based_on != sequence {
            return Err(CurationError::Conflict { based_on, sequence });
        }
        let what = match edit {
            Edit::Do(what) => what,
            Edit::Import(mode, file) => match self.imported(mode, &file) {
                Some(what) => what,
                None => return Ok(None),
            },
        };
        let entry = Entry { sequence: sequence + 1, time: TimestampUs::default(), who, nonce: 0, what };
        self.history.check(&entry)?;
        Ok(Some(entry))
    }

    fn imported(&self, mode: Import, file: &Curated) -> Option<What> {
        let own = self.history.curated();
        let changes = match mode {
            Import::Replace => differences(own, file),
            Import::Add => differences(own, &own.with(file)),
        };
        (!changes.is_empty()).then_some(What::Changes(changes))
    }
}

#[cfg(test)]
mod tests;
