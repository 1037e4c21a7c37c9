//! Which files of the table should become larger ones.
//!
//! Files of one day are merged with others of about their size: each row is then written again about once for every
//! factor of [`TIER_FACTOR`] between a batch and a day. When a day is over, what is left of it is merged too.

use std::collections::BTreeMap;

use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::{US_PER_DAY, US_PER_S};

use super::data_file::DataFile;

/// Files of one tier are at most so many times as large as each other.
const TIER_FACTOR: u64 = 8;
/// Files below this size are of the first tier.
const FIRST_TIER_BYTES: u64 = 64 << 10;
/// A day is over so long after its end: late batches have arrived by then.
const DAY_OVER_US: i64 = 3_600 * US_PER_S;

/// When files are merged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    /// A file of half this size or more is left as it is.
    pub(super) target_bytes: u64,
    /// So many files of one tier are merged.
    pub(super) tier_files: usize,
    /// At most so many at once.
    pub(super) files_max: usize,
}

/// Files of one day to merge next; empty when there are none.
pub(super) fn next(files: &[DataFile], thresholds: &Thresholds, now: TimestampUs) -> Vec<DataFile> {
    let mut days: BTreeMap<i32, Vec<&DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.bytes < thresholds.target_bytes / 2) {
        days.entry(file.day).or_default().push(file);
    }
    // The newest days first: they are asked for most.
    let chosen = days.into_iter().rev().find_map(|(day, mut files)| {
        files.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
        crowded_tier(&files, thresholds).or_else(|| is_over(day, now).then(|| rest(&files, thresholds)).flatten())
    });
    chosen.unwrap_or_default().into_iter().cloned().collect()
}

/// The smallest tier that has enough files.
fn crowded_tier<'a>(files: &[&'a DataFile], thresholds: &Thresholds) -> Option<Vec<&'a DataFile>> {
    let enough = thresholds.tier_files.max(2);
    let tiers = files.chunk_by(|a, b| tier(a.bytes) == tier(b.bytes));
    let crowded = tiers.into_iter().find(|files| files.len() >= enough)?;
    Some(crowded.iter().take(thresholds.files_max.max(2)).copied().collect())
}

/// What is left of a day, without files that are large beside all the others: a late record would have them rewritten.
fn rest<'a>(files: &[&'a DataFile], thresholds: &Thresholds) -> Option<Vec<&'a DataFile>> {
    let mut chosen: Vec<&DataFile> = files.iter().take(thresholds.files_max.max(2)).copied().collect();
    while let Some((largest, others)) = chosen.split_last() {
        let others: u64 = others.iter().map(|file| file.bytes).sum();
        if largest.bytes <= others * TIER_FACTOR {
            break;
        }
        chosen.pop();
    }
    (chosen.len() >= 2).then_some(chosen)
}

fn tier(bytes: u64) -> u32 {
    (bytes / FIRST_TIER_BYTES).checked_ilog(TIER_FACTOR).map_or(0, |tier| tier + 1)
}

fn is_over(day: i32, now: TimestampUs) -> bool {
    (i64::from(day) + 1) * US_PER_DAY + DAY_OVER_US <= now.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { target_bytes: 256 << 20, tier_files: 8, files_max: 16 };
    const TODAY: TimestampUs = TimestampUs(10 * US_PER_DAY);

    fn files(day: i32, sizes: &[u64]) -> Vec<DataFile> {
        let file = |(number, bytes): (usize, &u64)| DataFile {
            path: format!("{day}-{number:03}"),
            day,
            bytes: *bytes,
            rows: None,
            first_reception: None,
            last_reception: None,
        };
        sizes.iter().enumerate().map(file).collect()
    }

    fn sizes(files: &[DataFile], now: TimestampUs) -> Vec<u64> {
        next(files, &THRESHOLDS, now).iter().map(|file| file.bytes).collect()
    }

    #[test]
    fn files_of_one_size_are_merged_when_there_are_enough() {
        assert!(sizes(&files(10, &[1_000; 7]), TODAY).is_empty());
        assert_eq!(sizes(&files(10, &[1_000; 8]), TODAY).len(), 8);
        assert_eq!(sizes(&files(10, &[1_000; 40]), TODAY).len(), 16, "at most so many at once");
    }

    #[test]
    fn files_of_other_sizes_and_days_are_left_alone() {
        let mut mixed = files(10, &[1_000; 7]);
        mixed.extend(files(9, &[1_000; 7]));
        mixed.extend(files(10, &[64 << 10, 600 << 10, 8 << 20]));
        assert!(sizes(&mixed, TODAY).is_empty());
        assert!(sizes(&files(10, &[128 << 20; 20]), TODAY).is_empty(), "half of the target is enough");
        assert_eq!(sizes(&files(10, &[(128 << 20) - 1; 20]), TODAY).len(), 16);
    }

    #[test]
    fn the_rest_of_a_day_is_merged_when_it_is_over() {
        let rest = files(9, &[1_000, 2_000, 500]);
        let over = 10 * US_PER_DAY + DAY_OVER_US;
        assert!(sizes(&rest, TimestampUs(over - 1)).is_empty());
        assert_eq!(sizes(&rest, TimestampUs(over)), [500, 1_000, 2_000]);
        assert!(sizes(&files(9, &[1_000]), TimestampUs(over)).is_empty(), "one file is merged with nothing");
    }

    #[test]
    fn a_late_record_does_not_have_a_whole_day_rewritten() {
        let now = TimestampUs(20 * US_PER_DAY);
        assert!(sizes(&files(9, &[1_000, 100 << 20]), now).is_empty());
        assert_eq!(sizes(&files(9, &[1_000, 1_000, 100 << 20]), now), [1_000, 1_000]);
    }

    #[test]
    fn merging_ends() {
        let mut all = files(9, &[3_000; 1_440]);
        let mut merges = 0;
        loop {
            let chosen = next(&all, &THRESHOLDS, TimestampUs(20 * US_PER_DAY));
            if chosen.is_empty() {
                break;
            }
            all.retain(|file| !chosen.contains(file));
            let bytes = chosen.iter().map(|file| file.bytes).sum();
            all.push(DataFile { path: format!("merged-{merges}"), bytes, ..chosen[0].clone() });
            merges += 1;
        }
        assert!(all.len() <= 2 && merges < 200, "{} files after {merges} merges", all.len());
    }
}
