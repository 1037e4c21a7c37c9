//! Identifiers of records: 53 bits that name the millisecond, the collector and a sequence within both.

use crate::time::TimestampUs;

/// 2020-01-01 00:00:00 UTC in Unix milliseconds: where identifiers begin to count.
const EPOCH_MS: i64 = 1_577_836_800_000;
const SEQUENCE_BITS: u32 = 6;
const COLLECTOR_BITS: u32 = 6;
/// Identifier of a record: below 2^53, so that every JSON reader holds it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RecordId(pub i64);

impl RecordId {
    /// The greatest identifier that there can be.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Records that one collector can name in one millisecond before it borrows from the next.
    pub const SEQUENCE_PER_MS: i64 = 1 << SEQUENCE_BITS;

    /// Identifiers whose rest of a division by this is equal are of one collector, and at one place of its sequence.
    pub const COLLECTOR_CYCLE: i64 = 1 << (SEQUENCE_BITS + COLLECTOR_BITS);

    /// The least identifier that is given out at `instant`.
    #[must_use]
    pub fn first_at(instant: TimestampUs) -> Self {
        Self((instant.as_ms() - EPOCH_MS).clamp(0, Self::MAX.0 / Self::COLLECTOR_CYCLE) * Self::COLLECTOR_CYCLE)
    }

    /// The millisecond that it was given out in, or borrowed from.
    #[must_use]
    pub const fn given_out_at(self) -> TimestampUs {
        TimestampUs((EPOCH_MS + self.0 / Self::COLLECTOR_CYCLE) * 1_000)
    }

    /// Number of the collector that named the record.
    #[must_use]
    pub const fn collector(self) -> i64 {
        (self.0 >> SEQUENCE_BITS) & ((1 << COLLECTOR_BITS) - 1)
    }

    /// Position in the collector's own count: milliseconds and sequence without the collector's number.
    const fn tick(self) -> i64 {
        ((self.0 >> (SEQUENCE_BITS + COLLECTOR_BITS)) << SEQUENCE_BITS) | (self.0 & (Self::SEQUENCE_PER_MS - 1))
    }
}

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a collector, 0 to 63, unique among those that write into one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CollectorNumber(u8);

impl CollectorNumber {
    /// How many collectors can write into one store.
    pub const COUNT: u8 = 1 << COLLECTOR_BITS;

    /// `None` when the number needs more than its 6 bits.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Gives out identifiers that only grow, whatever the clock does.
///
/// A full sequence borrows the next millisecond, a clock that goes back keeps counting.
#[derive(Debug)]
pub struct IdSequence {
    collector: CollectorNumber,
    last_tick: i64,
}

impl IdSequence {
    /// Goes on above `last`, the greatest identifier that this collector is known to have given out.
    #[must_use]
    pub fn after(collector: CollectorNumber, last: Option<RecordId>) -> Self {
        Self { collector, last_tick: last.map_or(-1, RecordId::tick) }
    }

    /// The next identifier at the instant `now`.
    pub fn next(&mut self, now: TimestampUs) -> RecordId {
        let now_tick = (now.as_ms() - EPOCH_MS).max(0) * RecordId::SEQUENCE_PER_MS;
        self.last_tick = now_tick.max(self.last_tick + 1);
        let ms = self.last_tick >> SEQUENCE_BITS;
        let sequence = self.last_tick & (RecordId::SEQUENCE_PER_MS - 1);
        RecordId(
            (ms << (SEQUENCE_BITS + COLLECTOR_BITS)) | (i64::from(self.collector.get()) << SEQUENCE_BITS) | sequence,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

    fn sequence(last: Option<RecordId>) -> IdSequence {
        IdSequence::after(CollectorNumber::new(5).expect("below 64"), last)
    }

    #[test]
    fn grows_within_a_millisecond_and_borrows_the_next() {
        let mut ids = sequence(None);
        let given: Vec<_> = (0..200).map(|_| ids.next(NOW)).collect();
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(given.iter().all(|id| id.collector() == 5));
        assert!(given.iter().all(|id| RecordId(id.0 % RecordId::COLLECTOR_CYCLE).collector() == 5));
    }

    #[test]
    fn keeps_counting_when_the_clock_goes_back() {
        let mut ids = sequence(None);
        let before = ids.next(NOW);
        assert!(ids.next(TimestampUs::from_s(0)) > before);
    }

    #[test]
    fn goes_on_above_the_last_one_after_a_restart() {
        let last = sequence(None).next(NOW);
        assert!(sequence(Some(last)).next(TimestampUs::from_s(0)) > last);
    }

    #[test]
    fn an_identifier_says_its_millisecond() {
        let instant = TimestampUs(1_793_000_000_123_000);
        assert_eq!(RecordId::first_at(instant).given_out_at(), instant);
        assert_eq!(RecordId(RecordId::first_at(instant).0 + RecordId::COLLECTOR_CYCLE - 1).given_out_at(), instant);
    }

    #[test]
    fn the_first_one_of_an_instant_is_not_above_any_that_is_given_out_then() {
        let mut ids = IdSequence::after(CollectorNumber::default(), None);
        assert_eq!(RecordId::first_at(NOW), ids.next(NOW));
        assert!(RecordId::first_at(NOW) < sequence(None).next(NOW));
        assert_eq!(RecordId::first_at(TimestampUs(0)), RecordId(0));
        assert!(RecordId::first_at(TimestampUs(i64::MAX)) <= RecordId::MAX);
    }

    #[test]
    fn fits_into_53_bits_until_2089() {
        let id = sequence(None).next(TimestampUs::from_s(3_770_000_000));
        assert!(id <= RecordId::MAX);
    }
}
