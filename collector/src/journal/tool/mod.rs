//! For people with a damaged directory: what of a journal is readable, what is lost, and a repair that loses no more.
//!
//! Looking changes nothing, not even the lock. A repair locks the directory, copies every segment that it is going to
//! change to a `*.damaged` file beside it, and changes segments one by one, each as a whole:
//!
//! - First it adds a segment behind the newest. That one says where the newest ends, and it seals every pending record
//!   that no usable seal holds: a seal may be among what was lost, and its batch may have been sent, so the store must
//!   be asked about all of them. The checksum of such a seal is [`Seal::UNKNOWN_CHECKSUM`].
//! - Then, oldest first: a segment with damage is written anew from its whole frames; a missing one is replaced by one
//!   without frames; where only a header is wrong, the header is. At last the added segment is told where the one before
//!   it ends now.
//! - Seals of batches that lost records are left out; what is left of them is sealed by the new segment.
//!
//! A repair that is broken off leaves a journal that is still damaged, until its last step, and can be repaired again.
//! One wrong byte in a header is found by trying all of them against its checksum, so that it costs nothing.

mod head;
mod lost;
mod mend;
mod scan;
mod walk;
mod workbench;

use std::ops::RangeInclusive;
use std::path::Path;

use telemetrics_schema::{CollectorNumber, RecordId, TimestampUs};

#[cfg(doc)]
use super::Seal;
use super::files::{Directory, Disk};
use super::replay::replay;
use super::{JournalError, TornTail};
pub(super) use mend::repair_on;
use scan::{Scan, scan};
#[cfg(test)]
pub(super) use workbench::Workbench;

/// What could be read of a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderState {
    /// Everything.
    Whole,
    /// Everything, after one wrong byte was found.
    Mended,
    /// Not enough; the text says why. The frames behind it may be readable all the same.
    Lost(&'static str),
    /// The segment was being created when the process ended, and holds nothing.
    Unused,
}

/// How many records are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// So many.
    pub records: u64,
    /// Or fewer: bytes that are lost may not tell how many records they were.
    pub is_at_most: bool,
}

/// A place in a segment that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins, bytes.
    pub offset: u64,
    /// Up to the next thing that can be read, bytes.
    pub bytes: u64,
    /// What is there instead of what should be.
    pub reason: &'static str,
    /// What was there.
    pub lost: Lost,
}

/// One segment as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number: its file name in hexadecimal.
    pub sequence: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// What could be read of its header.
    pub header: HeaderState,
    /// Whole frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// The first of them and when it was received, and the last.
    pub range: Option<[(RecordId, TimestampUs); 2]>,
    /// Sealed batches in them.
    pub seals: u64,
    /// Confirmations in them.
    pub confirmations: u64,
    /// What cannot be read.
    pub damage: Vec<Damage>,
    /// What a crash left unfinished at the end of the newest segment; none of it was acknowledged.
    pub torn: Option<TornTail>,
}

/// What was found in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether a process uses the journal. What it does meanwhile may look like damage.
    pub is_in_use: bool,
    /// Number of the collector whose journal it is, as far as anything says it.
    pub collector: Option<CollectorNumber>,
    /// The segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// Segments between others that are not there.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Segments before the oldest are not there, and records up to this one were in them that the store may not have.
    pub missing_up_to: Option<RecordId>,
    /// The last confirmation.
    pub confirmed: Option<RecordId>,
    /// Readable records above it: those that the store may not have.
    pub pending: u64,
    /// Why the journal cannot be opened as it is.
    pub fault: Option<String>,
}

impl Inspection {
    /// Whether the journal can be opened as it is, with everything that was acknowledged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.fault.is_none()
    }

    /// Records that can be read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    /// Records that were in what cannot be read; segments that are not there are not counted.
    #[must_use]
    pub fn lost(&self) -> Lost {
        let damage = self.segments.iter().flat_map(|segment| &segment.damage);
        damage.fold(Lost::default(), |sum, damage| Lost {
            records: sum.records + damage.lost.records,
            is_at_most: sum.is_at_most || damage.lost.is_at_most,
        })
    }
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// What was found before.
    pub before: Inspection,
    /// Names of the copies of the segments that were changed, in the journal's directory.
    pub set_aside: Vec<String>,
    /// Batches that were sealed so that the store is asked about them.
    pub resealed: u64,
}

/// Looks at the journal in `directory`.
///
/// # Errors
/// [`JournalError::Io`] when it cannot be read, [`JournalError::Incompatible`] when it is of a newer version of this
/// program or of several collectors.
pub fn inspect(directory: &Path) -> Result<Inspection, JournalError> {
    let is_in_use = Directory::is_locked(directory);
    Ok(Inspection { is_in_use, ..inspect_on(&Directory::look(directory)?)? })
}

pub(super) fn inspect_on<D: Disk>(disk: &D) -> Result<Inspection, JournalError> {
    inspection(disk, &scan(disk)?)
}

/// Makes the journal in `directory` one that can be opened, with everything in it that can be read.
///
/// `None` when there is nothing to repair; nothing was changed then.
///
/// # Errors
/// As [`inspect`], and [`JournalError::Locked`] when a process uses the journal. After [`JournalError::Io`] the repair may
/// have been done in part, and can be done again.
pub fn repair(directory: &Path) -> Result<Option<Repaired>, JournalError> {
    // Who asks for the repair of what is not there has mistyped it.
    drop(Directory::look(directory)?);
    repair_on(&Directory::open(directory)?)
}

fn inspection<D: Disk>(disk: &D, found: &Scan) -> Result<Inspection, JournalError> {
    Ok(Inspection {
        is_in_use: false,
        collector: found.collector,
        segments: found.segments.iter().map(|segment| segment.report.clone()).collect(),
        missing: found.missing(),
        missing_up_to: found.missing_up_to(),
        confirmed: found.confirmed,
        pending: found.pending().len() as u64,
        fault: fault(disk, found.collector)?,
    })
}

/// Why the journal cannot be opened: the judgement is that of opening itself.
fn fault<D: Disk>(disk: &D, collector: Option<CollectorNumber>) -> Result<Option<String>, JournalError> {
    match replay(disk, collector.unwrap_or_default()) {
        Ok(_) => Ok(None),
        Err(JournalError::Damaged { segment, offset, reason }) => {
            Ok(Some(format!("segment {segment:016x} at byte {offset}: {reason}")))
        }
        // It was read, so it is of this version and of one collector, and one of its bytes says something else.
        Err(JournalError::Incompatible(reason)) => Ok(Some(reason)),
        Err(error) => Err(error),
    }
}
