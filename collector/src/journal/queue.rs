//! What waits for the writer: bounded for records, always open for seals and confirmations, which free space.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use telemetrics_schema::{Record, RecordId};
use tokio::sync::oneshot;

use super::frame::{CONFIRMED_FRAME_BYTES, SEALED_FRAME_BYTES};
use super::segment::{CONTROL_RESERVE_BYTES, CONTROL_SEGMENT_BYTES, HEADER_BYTES};
use super::{AppendError, JournalSettings, Seal};

/// How often the writer lets other threads run before it takes a group, as long as that makes the group larger.
const YIELDS_MAX: usize = 4;
/// Seals that the writer takes at once.
const GROUP_SEALS: usize = 64;

// A segment for seals and confirmations, and the space that records leave to them, must hold those of one group.
const _: () = {
    let group_bytes = GROUP_SEALS as u64 * SEALED_FRAME_BYTES + CONFIRMED_FRAME_BYTES;
    assert!(HEADER_BYTES + group_bytes <= CONTROL_SEGMENT_BYTES && group_bytes <= CONTROL_RESERVE_BYTES);
};

/// The way back to who waits for the outcome.
pub(super) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

/// Records that are acknowledged together; the writer gives them their identifiers and reception time.
pub(super) struct Append {
    pub(super) records: Vec<Record>,
    pub(super) bytes: usize,
    pub(super) reply: Reply<Vec<Arc<Record>>>,
}

/// What the writer takes at once: everything that waits, up to the limit of a group.
#[derive(Default)]
pub(super) struct Group {
    pub(super) appends: Vec<Append>,
    pub(super) seals: Vec<(Seal, Reply<()>)>,
    pub(super) confirms: Vec<(RecordId, Reply<()>)>,
}

#[derive(Default)]
struct State {
    appends: VecDeque<Append>,
    records: usize,
    bytes: usize,
    seals: VecDeque<(Seal, Reply<()>)>,
    confirms: Vec<(RecordId, Reply<()>)>,
    closed: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.seals.is_empty() && self.confirms.is_empty()
    }

    fn take(&mut self, group_bytes: usize) -> Group {
        let mut group = Group {
            appends: Vec::new(),
            seals: self.seals.drain(..self.seals.len().min(GROUP_SEALS)).collect(),
            confirms: std::mem::take(&mut self.confirms),
        };
        let mut taken_bytes = 0;
        while let Some(next) = self.appends.front() {
            if taken_bytes > 0 && taken_bytes + next.bytes > group_bytes {
                break;
            }
            taken_bytes += next.bytes;
            self.records -= next.records.len();
            self.bytes -= next.bytes;
            group.appends.extend(self.appends.pop_front());
        }
        group
    }
}

/// See the module.
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    limit_records: usize,
    limit_bytes: usize,
    group_bytes: usize,
}

impl Queue {
    pub(super) fn new(settings: &JournalSettings) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            limit_records: settings.queue_records,
            limit_bytes: settings.queue_bytes,
            group_bytes: settings.group_bytes,
        }
    }

    /// Adds records, unless others wait and both together are above a limit.
    pub(super) fn append(&self, append: Append) -> Result<(), AppendError> {
        let mut state = self.open_state()?;
        let records = state.records + append.records.len();
        let bytes = state.bytes + append.bytes;
        if state.records > 0 && records > self.limit_records {
            return Err(AppendError::Full("queue_records wait already"));
        }
        if state.records > 0 && bytes > self.limit_bytes {
            return Err(AppendError::Full("queue_bytes wait already"));
        }
        (state.records, state.bytes) = (records, bytes);
        state.appends.push_back(append);
        self.filled.notify_one();
        Ok(())
    }

    pub(super) fn seal(&self, seal: Seal, reply: Reply<()>) -> Result<(), AppendError> {
        self.open_state()?.seals.push_back((seal, reply));
        self.filled.notify_one();
        Ok(())
    }

    pub(super) fn confirm(&self, last: RecordId, reply: Reply<()>) -> Result<(), AppendError> {
        self.open_state()?.confirms.push((last, reply));
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for work; `None` when the queue is closed and everything was taken.
    pub(super) fn take(&self) -> Option<Group> {
        let mut state = self.lock();
        while state.is_empty() {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Who waits already gets its turn first: on a busy machine the next sync is shared by several times as many
        // records, and on an idle one nobody is waiting and nothing is lost.
        for _ in 0..YIELDS_MAX {
            let records = state.records;
            if records == 0 || state.bytes >= self.group_bytes {
                break;
            }
            drop(state);
            std::thread::yield_now();
            state = self.lock();
            if state.records == records {
                break;
            }
        }
        Some(state.take(self.group_bytes))
    }

    /// Refuses new work from now on; what waits can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Closes the queue and drops what waits, so that nobody waits for a writer that is gone.
    pub(super) fn abandon(&self) {
        *self.lock() = State { closed: true, ..State::default() };
    }

    /// Records that wait, and their bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.records, state.bytes)
    }

    fn open_state(&self) -> Result<MutexGuard<'_, State>, AppendError> {
        let state = self.lock();
        if state.closed { Err(AppendError::Closed) } else { Ok(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two steps that belong together, so a poisoned lock guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::{Report, TimestampUs};

    use super::*;

    fn queue() -> Queue {
        let mut settings = JournalSettings::new("x");
        (settings.queue_records, settings.queue_bytes, settings.group_bytes) = (3, 100, 50);
        Queue::new(&settings)
    }

    fn append(records: usize, bytes: usize) -> Append {
        let record = Record { id: RecordId(0), ts_reception: TimestampUs(0), report: Report::default() };
        Append { records: vec![record; records], bytes, reply: oneshot::channel().0 }
    }

    #[test]
    fn records_are_refused_above_the_limit_of_records() {
        let queue = queue();
        assert_eq!(queue.append(append(2, 1)), Ok(()));
        assert_eq!(queue.append(append(1, 1)), Ok(()));
        assert!(matches!(queue.append(append(1, 1)), Err(AppendError::Full(limit)) if limit.contains("records")));
        assert_eq!(queue.waiting(), (3, 2));
    }

    #[test]
    fn records_are_refused_above_the_limit_of_bytes() {
        let queue = queue();
        assert_eq!(queue.append(append(1, 60)), Ok(()));
        assert_eq!(queue.append(append(1, 40)), Ok(()));
        assert!(matches!(queue.append(append(1, 1)), Err(AppendError::Full(limit)) if limit.contains("bytes")));
    }

    #[test]
    fn what_is_larger_than_a_limit_passes_alone() {
        let queue = queue();
        assert_eq!(queue.append(append(9, 1_000)), Ok(()));
        assert_eq!(queue.take().map(|group| group.appends.len()), Some(1));
        assert_eq!(queue.waiting(), (0, 0));
    }

    #[test]
    fn a_group_ends_at_its_limit_and_the_rest_waits() {
        let queue = queue();
        for _ in 0..3 {
            queue.append(append(1, 25)).expect("room");
        }
        assert_eq!(queue.take().map(|group| group.appends.len()), Some(2));
        assert_eq!(queue.take().map(|group| group.appends.len()), Some(1));
    }

    #[test]
    fn seals_beyond_a_group_wait_for_the_next() {
        let queue = queue();
        let seal = Seal { first: RecordId(1), last: RecordId(1), rows: 1, checksum: 0 };
        for _ in 0..=GROUP_SEALS {
            queue.seal(seal, oneshot::channel().0).expect("open");
        }
        assert_eq!(queue.take().map(|group| group.seals.len()), Some(GROUP_SEALS));
        assert_eq!(queue.take().map(|group| group.seals.len()), Some(1));
    }

    #[test]
    fn a_closed_queue_gives_what_waits_and_then_ends() {
        let queue = queue();
        queue.append(append(1, 1)).expect("open");
        queue.close();
        assert_eq!(queue.append(append(1, 1)), Err(AppendError::Closed));
        assert_eq!(queue.confirm(RecordId(1), oneshot::channel().0), Err(AppendError::Closed));
        assert_eq!(queue.take().map(|group| group.appends.len()), Some(1));
        assert!(queue.take().is_none());
    }
}
