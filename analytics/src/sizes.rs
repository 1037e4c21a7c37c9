//! What a store takes on disk, day by day, to estimate what some of its records take.

use std::collections::BTreeMap;

/// Rows and bytes of each UTC day of reception.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaySizes(BTreeMap<i32, Size>);

/// Rows and what they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Another number after rows were changed where they are; it may become another one without that.
    pub changes: u64,
}

impl DaySizes {
    /// Counts more rows of `day`, which is counted from 1970-01-01.
    pub fn add(&mut self, day: i32, rows: u64, bytes: u64) {
        let size = self.0.entry(day).or_default();
        size.rows += rows;
        size.bytes += bytes;
    }

    /// Notes that rows of `day` were changed last by the change with this number.
    pub fn changed(&mut self, day: i32, number: u64) {
        let size = self.0.entry(day).or_default();
        size.changes = size.changes.max(number);
    }

    /// Every day that has rows, the oldest first, with what it takes.
    pub fn days(&self) -> impl Iterator<Item = (i32, Size)> + '_ {
        self.0.iter().map(|(day, size)| (*day, *size))
    }

    /// What `rows` of that day take, when they are as large as the day's others. 0 for a day that is not on disk.
    #[must_use]
    pub fn share_bytes(&self, day: i32, rows: u64) -> u64 {
        let Some(size) = self.0.get(&day).filter(|size| size.rows > 0) else { return 0 };
        let share = u128::from(size.bytes) * u128::from(rows.min(size.rows)) / u128::from(size.rows);
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// All days together.
    #[must_use]
    pub fn total(&self) -> Size {
        self.0.values().fold(Size::default(), |sum, day| Size {
            rows: sum.rows + day.rows,
            bytes: sum.bytes + day.bytes,
            changes: sum.changes.max(day.changes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_in_proportion_to_the_rows_of_its_day() {
        let mut sizes = DaySizes::default();
        sizes.add(1, 10, 1_000);
        sizes.add(1, 30, 1_000);
        sizes.add(2, 1, u64::MAX / 2);
        assert_eq!(sizes.share_bytes(1, 20), 1_000);
        assert_eq!(sizes.share_bytes(1, 100), 2_000, "more than there is was counted a moment later");
        assert_eq!((sizes.share_bytes(2, 1), sizes.share_bytes(3, 5)), (u64::MAX / 2, 0));
        sizes.changed(1, 7);
        sizes.changed(1, 3);
        assert_eq!(sizes.total(), Size { rows: 41, bytes: 2_000 + u64::MAX / 2, changes: 7 });
    }
}
