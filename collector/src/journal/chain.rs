//! The segments in their order: begins and ends them, keeps them within the quota, removes those nobody needs.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use telemetrics_schema::{CollectorNumber, RecordId};

use super::files::{Disk, DiskFile};
use super::frame::Place;
use super::replay::Newest;
use super::segment::{CONTROL_SEGMENT_BYTES, HEADER_BYTES, Header, Marks, Segment};
use super::stats::Gauges;
use super::{AppendError, JournalSettings};

/// A segment that is only read from now on, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) sequence: u64,
    /// Where its durable part ends.
    pub(super) end: u64,
    /// When this identifier is confirmed, nobody needs the segment.
    pub(super) needed: Option<RecordId>,
}

/// See the module.
pub(super) struct Chain<D: Disk> {
    disk: D,
    collector: CollectorNumber,
    segment_bytes: u64,
    quota_bytes: u64,
    /// Greater than every sequence number that was used.
    next_sequence: u64,
    closed: VecDeque<Closed>,
    /// The segment that is being written; `None` after a failure, until a new one could be begun.
    active: Option<Segment<D::File>>,
    /// The last confirmation that is known to be on disk: segments are removed by no other.
    durable_confirmed: Option<RecordId>,
    gauges: Arc<Gauges>,
}

impl<D: Disk> Chain<D> {
    /// A chain without an active segment, behind those that were read.
    pub(super) fn new(
        disk: D,
        settings: &JournalSettings,
        collector: CollectorNumber,
        closed: VecDeque<Closed>,
        gauges: Arc<Gauges>,
    ) -> Self {
        Self {
            disk,
            collector,
            segment_bytes: settings.segment_bytes,
            quota_bytes: settings.quota_bytes,
            next_sequence: closed.back().map_or(1, |newest| newest.sequence + 1),
            closed,
            active: None,
            durable_confirmed: None,
            gauges,
        }
    }

    /// Removes a segment that was never used, for good, before anything is written to another one.
    ///
    /// It cannot be read because it was emptied, and that may not be on disk: its header would come back with a power
    /// cut, and say where the segment before it ended when the header was made.
    pub(super) fn remove_unused(&self, sequence: u64) -> io::Result<()> {
        self.disk.remove(sequence)?;
        self.disk.sync_directory()
    }

    /// Ends the newest segment, read from disk, behind its last whole frame: what was read is durable then, and what was
    /// torn is gone.
    ///
    /// A segment without frames becomes the active one again: restarts that write nothing leave no files behind.
    pub(super) fn take_over(&mut self, newest: &Newest) -> io::Result<()> {
        let Newest { header, closed, unproven } = newest;
        let file = self.disk.open(closed.sequence)?;
        // A sync that failed before the restart may have left pages that are read but never will be on disk.
        file.put(closed.end - unproven.len() as u64, unproven)?;
        file.truncate(closed.end)?;
        file.sync_data()?;
        self.disk.sync_directory()?;
        self.next_sequence = closed.sequence + 1;
        let mut segment = Segment::new(file, header, self.segment_bytes);
        if closed.end == HEADER_BYTES && segment.reset().is_ok() {
            self.durable_confirmed = header.marks.confirmed;
            self.active = Some(segment);
        } else {
            self.closed.push_back(*closed);
        }
        Ok(())
    }

    /// Makes sure that the active segment has room for so many bytes of records and of other frames.
    ///
    /// # Errors
    /// [`AppendError::Full`] when the quota has no room for records, [`AppendError::Unavailable`] when the disk has none.
    pub(super) fn make_room(&mut self, records: u64, control: u64, marks: Marks) -> Result<(), AppendError> {
        if self.active.as_ref().is_some_and(|active| active.fits(records, control)) {
            return Ok(());
        }
        let within_quota = self.bytes() + self.segment_bytes <= self.quota_bytes;
        if records > 0 && !within_quota {
            let reason = "quota_bytes are used";
            self.gauges.refusing(reason);
            return Err(AppendError::Full(reason));
        }
        let begun =
            if within_quota { self.begin(self.segment_bytes, marks) } else { Err(io::ErrorKind::StorageFull.into()) };
        match begun {
            // What frees space must not need a whole segment of it.
            Err(_) if records == 0 => self.begin(CONTROL_SEGMENT_BYTES, marks),
            outcome => outcome,
        }
        .map_err(|error| self.unavailable("begin a segment", &error))
    }

    /// Sequence number of the segment that the next frame goes to, and where in it; `None` without an active segment.
    pub(super) fn place(&self) -> Option<(u64, Place)> {
        self.active.as_ref().map(|active| (active.sequence, active.place()))
    }

    /// Writes frames that were made for [`Chain::place`]; with `sync` they and everything before are durable.
    ///
    /// `needed` is the identifier that has to be confirmed before the frames may go.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`]: the frames will not be in the journal, unless the process ends before the next
    /// segment is begun.
    pub(super) fn append(&mut self, frames: &[u8], sync: bool, needed: Option<RecordId>) -> Result<(), AppendError> {
        let Some(active) = &mut self.active else {
            return Err(AppendError::Unavailable("no segment is begun".to_owned()));
        };
        if let Err(error) = active.append(frames, sync, &self.gauges) {
            self.abandon();
            return Err(self.unavailable("write or sync a segment", &error));
        }
        if let Some(id) = needed {
            active.need(id);
        }
        self.gauges.written();
        Ok(())
    }

    /// Whether a durable confirmation of everything up to `confirmed` would free segments that are kept now.
    pub(super) fn would_release(&self, confirmed: Option<RecordId>) -> bool {
        !self.is_durable(confirmed) && self.closed.front().is_some_and(|oldest| oldest.needed <= confirmed)
    }

    /// Whether a confirmation of everything up to `confirmed` is known to be on disk.
    pub(super) fn is_durable(&self, confirmed: Option<RecordId>) -> bool {
        confirmed <= self.durable_confirmed
    }

    /// Notes that a confirmation is on disk.
    pub(super) fn confirmed_durably(&mut self, confirmed: Option<RecordId>) {
        self.durable_confirmed = self.durable_confirmed.max(confirmed);
    }

    /// Removes the segments that nobody needs, the oldest first; what fails is tried again the next time.
    pub(super) fn release(&mut self) {
        while self.active.is_some()
            && let Some(oldest) = self.closed.front().filter(|oldest| oldest.needed <= self.durable_confirmed)
        {
            // Each removal is synced, so that a power cut never leaves a hole in the sequence.
            let removed = self.disk.remove(oldest.sequence).and_then(|()| self.disk.sync_directory());
            if let Err(error) = removed {
                tracing::warn!(segment = oldest.sequence, %error, "a released journal segment could not be removed");
                break;
            }
            self.closed.pop_front();
        }
        self.gauges.bytes.store(self.bytes(), Relaxed);
        self.gauges.segments.store(self.segments(), Relaxed);
    }

    fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.end).sum();
        closed + self.active.as_ref().map_or(0, |active| active.allocated)
    }

    fn segments(&self) -> u64 {
        self.closed.len() as u64 + u64::from(self.active.is_some())
    }

    /// Begins a segment of `size` bytes and ends the active one.
    ///
    /// Without space the active one stays; once the new header may be on disk it does not, because the header says
    /// where the active one ends.
    fn begin(&mut self, size: u64, marks: Marks) -> io::Result<()> {
        let sequence = self.next_sequence;
        let file = self.disk.create(sequence)?;
        if let Err(error) = file.allocate(size) {
            if let Err(error) = self.disk.remove(sequence) {
                tracing::warn!(segment = sequence, %error, "an unused journal segment could not be removed");
            }
            return Err(error);
        }
        self.close();
        let header = self.header(sequence, marks);
        file.put(0, &header.encode())?;
        file.sync_data()?;
        self.disk.sync_directory()?;
        self.next_sequence = sequence + 1;
        self.durable_confirmed = self.durable_confirmed.max(marks.confirmed);
        self.active = Some(Segment::new(file, &header, size));
        Ok(())
    }

    fn header(&self, sequence: u64, marks: Marks) -> Header {
        Header {
            collector: self.collector.get(),
            sequence,
            salt: self.disk.salt(),
            previous_end: self.closed.back().map_or(0, |previous| previous.end),
            marks,
        }
    }

    /// Ends the active segment where it was last synced.
    fn close(&mut self) {
        if let Some(segment) = self.active.take() {
            // Only space is lost when this fails: the next header says where the segment ends.
            if let Err(error) = segment.trim() {
                tracing::warn!(segment = segment.sequence, %error, "a journal segment could not be trimmed");
            }
            let Segment { sequence, synced: end, needed, .. } = segment;
            self.closed.push_back(Closed { sequence, end, needed });
        }
    }

    /// Gives the active segment up after a failure; one that holds nothing can be emptied and used again.
    fn abandon(&mut self) {
        let emptied = self.active.as_mut().is_some_and(|segment| segment.is_empty() && segment.reset().is_ok());
        if !emptied {
            self.close();
        }
    }

    fn unavailable(&self, action: &str, error: &io::Error) -> AppendError {
        let reason = format!("{action}: {error}");
        self.gauges.failed(&reason);
        AppendError::Unavailable(reason)
    }
}
