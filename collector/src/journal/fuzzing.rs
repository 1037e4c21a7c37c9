//! Segments with right checksums and whatever the fuzzer wants in them: with wrong ones a reader sees nothing.

use telemetrics_schema::RecordId;

use super::frame::{self, Place};
use super::segment::{Header, Marks};

/// What a segment says about itself.
#[derive(Debug, Clone, Copy)]
pub struct SegmentHead {
    /// Number of the collector.
    pub collector: u8,
    /// Number of the segment, which its name says too.
    pub sequence: u64,
    /// Where the synced part of the segment before this one ends.
    pub previous_end: u64,
    /// Greatest identifiers: given, of a record, confirmed.
    pub marks: [Option<i64>; 3],
}

/// The bytes of a segment whose frames have these kinds and bodies.
#[must_use]
pub fn segment(head: &SegmentHead, frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let [given, recorded, confirmed] = head.marks.map(|id| id.map(RecordId));
    let salt = head.sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let marks = Marks { given, recorded, confirmed };
    let SegmentHead { collector, sequence, previous_end, .. } = *head;
    let mut bytes = Header { collector, sequence, salt, previous_end, marks }.encode();
    for (kind, body) in frames {
        let synced = bytes.len() as u64;
        let mut written = Vec::new();
        frame::write(&mut written, Place { salt, offset: synced, synced }, *kind, |out| out.extend_from_slice(body));
        bytes.extend_from_slice(&written);
    }
    bytes
}
