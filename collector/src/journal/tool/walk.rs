//! Reads a segment past its damage.

use telemetrics_schema::{CollectorNumber, RecordId};

use super::super::frame::{self, Entry, Next, frames_from, proof_of_sync};
use super::head::at_frames;

/// Where a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Here: the segment behind it says so.
    At(usize),
    /// It is the newest one: where frames end, and what is behind was not acknowledged unless something proves it.
    Newest,
    /// The segment behind it is not readable: where bytes end.
    Unknown,
}

/// A piece of a segment.
#[derive(Debug)]
pub(super) enum Item {
    /// A whole frame.
    Frame(Entry),
    /// Something else.
    Gap(&'static str),
}

/// A piece of a segment and its place.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) item: Item,
}

/// What is known before a segment is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) salt: Option<u64>,
    pub(super) end: End,
    /// The greatest identifier in the segments before.
    pub(super) recorded: Option<RecordId>,
    /// Whose records they must be, when that is known.
    pub(super) collector: Option<CollectorNumber>,
}

/// All pieces of a segment, and why reading ended before its bytes did.
pub(super) struct Walk {
    pub(super) items: Vec<Placed>,
    pub(super) torn: Option<&'static str>,
}

impl Walk {
    /// Where the last piece ends.
    pub(super) fn end(&self) -> usize {
        self.items.last().map_or(at_frames(), |placed| placed.end)
    }
}

/// Reads the segment that `bytes` are.
pub(super) fn walk(bytes: &[u8], before: Before) -> Walk {
    let limit = if let End::At(end) = before.end { end.min(bytes.len()) } else { bytes.len() };
    let mut walker = Walker { bytes: &bytes[..limit], before, walk: Walk { items: Vec::new(), torn: None } };
    while walker.step() {}
    let (reached, mut walk) = (walker.walk.end(), walker.walk);
    if let End::At(end) = before.end
        && reached < end
    {
        walk.items.push(Placed { at: reached, end, item: Item::Gap("the end of the file") });
    }
    walk
}

struct Walker<'a> {
    bytes: &'a [u8],
    before: Before,
    walk: Walk,
}

impl Walker<'_> {
    /// Reads the next piece; whether there may be more.
    fn step(&mut self) -> bool {
        let at = self.walk.end();
        let Some(salt) = self.before.salt else { return self.give_up(at, "no salt to read frames with") };
        let found = match frame::next(self.bytes, at, salt) {
            Next::Frame(frame) => {
                let entry = frame.entry().and_then(|entry| self.judge(entry));
                self.push(at, frame.end, entry.map_or_else(Item::Gap, Item::Frame));
                return true;
            }
            Next::End => "nothing where a frame was expected",
            Next::Broken(reason) => reason,
        };
        if self.before.end == End::Newest && proof_of_sync(self.bytes, at, salt).is_none() {
            self.walk.torn = (!self.is_zero(at)).then_some(found);
            return false;
        }
        match frames_from(self.bytes, at + 1, salt).next() {
            Some((next, _)) => {
                self.push(at, next, Item::Gap(found));
                true
            }
            None => self.give_up(at, found),
        }
    }

    /// Ends the reading; what is left is a gap when there is something, or when there should be.
    fn give_up(&mut self, at: usize, reason: &'static str) -> bool {
        let is_nothing = at >= self.bytes.len() || (self.is_zero(at) && !matches!(self.before.end, End::At(_)));
        if !is_nothing {
            self.push(at, self.bytes.len(), Item::Gap(reason));
        }
        false
    }

    fn push(&mut self, at: usize, end: usize, item: Item) {
        self.walk.items.push(Placed { at, end, item });
    }

    fn is_zero(&self, from: usize) -> bool {
        self.bytes.iter().skip(from).all(|byte| *byte == 0)
    }

    /// What opening the journal would not accept is no frame of it, however whole it is.
    fn judge(&mut self, entry: Entry) -> Result<Entry, &'static str> {
        match &entry {
            Entry::Records(records) => {
                for record in records {
                    self.judge_record(record.id)?;
                }
            }
            Entry::Sealed(seal) if seal.first > seal.last => return Err("a seal that ends before it begins"),
            Entry::Sealed(_) | Entry::Confirmed(_) => {}
        }
        Ok(entry)
    }

    fn judge_record(&mut self, id: RecordId) -> Result<(), &'static str> {
        if Some(id) <= self.before.recorded {
            return Err("a record whose identifier does not grow");
        }
        if self.before.collector.is_some_and(|collector| i64::from(collector.get()) != id.collector()) {
            return Err("a record of another collector");
        }
        self.before.recorded = Some(id);
        Ok(())
    }
}
