//! What the frames of a log mean, and what they add up to when it is opened.

use telemetrics_schema::{RecordId, TimestampUs};

use super::entry::{Entry, Reader};
use super::index::{Index, Key, Slot};
use super::log::Spot;
use crate::journal::frame::Frame;

pub(super) const KIND_ENTRY: u8 = 17;
pub(super) const KIND_SEEN: u8 = 18;
pub(super) const KIND_REMOVED: u8 = 19;
pub(super) const KIND_SEALED: u8 = 20;
pub(super) const KIND_OPENED: u8 = 21;

/// Entries that are on their way to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    /// Names the batch in the store; never used before.
    pub(super) number: RecordId,
    /// Its entries, in their order.
    pub(super) ids: Vec<RecordId>,
    /// The segment of the frame that says so.
    pub(super) segment: u64,
}

/// What the frames of a log add up to.
#[derive(Default)]
pub(super) struct Fold {
    pub(super) index: Index,
    sealed: Option<Sealed>,
    pub(super) greatest: Option<RecordId>,
}

impl Fold {
    /// Adds one frame.
    ///
    /// # Errors
    /// When no writer of this version made it.
    pub(super) fn take(&mut self, spot: Spot, frame: &Frame<'_>) -> Result<(), &'static str> {
        let mut reader = Reader(frame.body);
        match frame.kind {
            KIND_ENTRY => self.enter(spot, &Entry::decode(frame.body)?),
            KIND_SEEN => {
                let id = RecordId(reader.number()?);
                let (last_seen, count) = (TimestampUs(reader.number()?), reader.number()?.cast_unsigned());
                // What was removed before may have been counted before.
                if let Some(slot) = self.index.get(id) {
                    self.index.set(id, Some(Slot { last_seen, count, ..slot }));
                }
            }
            KIND_REMOVED => reader.ids()?.into_iter().for_each(|id| _ = self.index.set(id, None)),
            KIND_SEALED => {
                let number = RecordId(reader.number()?);
                self.greatest = self.greatest.max(Some(number));
                self.sealed = Some(Sealed { number, ids: reader.ids()?, segment: spot.segment });
            }
            KIND_OPENED => self.sealed = None,
            _ => return Err("a frame of an unknown kind"),
        }
        Ok(())
    }

    /// The batch that is on its way. What a torn write of its end removed already has arrived.
    pub(super) fn take_sealed(&mut self) -> Option<Sealed> {
        let mut sealed = self.sealed.take()?;
        sealed.ids.retain(|id| self.index.get(*id).is_some());
        (!sealed.ids.is_empty()).then_some(sealed)
    }

    fn enter(&mut self, spot: Spot, entry: &Entry) {
        self.greatest = self.greatest.max(Some(entry.id));
        let key = self.index.key(entry);
        self.index.set(entry.id, Some(slot_of(entry, key, spot)));
    }
}

/// What is known of an entry that stands at `spot`.
pub(super) fn slot_of(entry: &Entry, key: Option<Key>, spot: Spot) -> Slot {
    Slot { kind: entry.kind, spot, key, last_seen: entry.last_seen, count: entry.count }
}
