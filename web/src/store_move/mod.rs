//! `telemetrics store move`: brings the records of the embedded store into ClickHouse, for who outgrows one machine.
//!
//! # Why each record arrives once
//! The journal and the table are locked, so nothing that is moved changes. Records go day by day in ranges of
//! identifiers that follow from the table alone (`copy.rs`): a run that is broken off and the next one make the same
//! batches. Before a batch is inserted the server is asked what it has of it, and only what is missing is sent. An
//! insert of a dead process that is still under way has the same deduplication token as ours, and is taken once.
//!
//! A day is done when both stores have equally many records of it and equal checksums over all columns; then it is
//! noted durably (`notes.rs`) and not looked at again. What the notes say is not relied on without a count.
//!
//! # What else must not get lost or come twice
//! - The collector's number is taken in the database, in the name of this data directory, and so is every other number
//!   that names records here: nobody else gives out the same identifiers.
//! - Records that are in the journal only are left there. The server that starts with ClickHouse delivers them, and
//!   about batches that had been sent to the embedded store it asks first, as after every restart.
//! - What users curate goes along, entry by entry (`crate::curation::carry`), unless the database has a history of its own.
//! - The policy does not decide what is moved, only what is compared where the server deletes by it already.

mod copy;
mod notes;
mod shown;
mod source;
mod target;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use telemetrics_analytics::questions::contents::{Content, Contents, checksums, contents};
use telemetrics_schema::layout::{DataDir, date_text};
use telemetrics_schema::time::{Clock, S_PER_DAY};
use telemetrics_schema::{RecordId, TimestampUs};

use crate::clickhouse;
use crate::config::Config;
use crate::curation::carry;
use crate::serve::StartError;
use notes::Notes;
use shown::Shown;
use target::Target;
use trouble::Trouble;

pub(crate) use copy::halves;
pub(crate) use source::{Source, lock_journal};
pub(crate) use trouble::patiently;

/// Records that the server may delete within so many seconds are not compared: its clock may be ahead of ours.
const CLOCKS_APART_S: i64 = S_PER_DAY / 24;
/// Identifiers that collectors give out are not smaller than those of this instant, 2025-01-01; imported ones are.
const NAMED_SINCE: TimestampUs = TimestampUs::from_s(1_735_689_600);

/// Moves what is not there yet, and says so on standard output.
///
/// # Errors
/// A sentence for the operator. What was moved until then stays moved, and the next run goes on there.
pub async fn run(config: &Config, clock: Arc<dyn Clock>) -> Result<(), StartError> {
    let server = config.store.clickhouse().ok_or(
        "the server that records are moved to is not named: give --clickhouse, or a file with [store.clickhouse]",
    )?;
    let source = Source::lock(config).await?;
    let everything = by_day(contents(&source.all(clock.now()).await?, i32::MIN..=i32::MAX).await?);
    let target = Box::pin(Target::open(config, server, &collectors(&everything))).await?;
    let notes = Notes::open(&config.data_dir, &target.table, source.version)?;
    let mut moving = Moving { source, target, clock, notes, shown: Shown::new(records_in(&everything)) };
    Box::pin(moving.all_days(&everything)).await.map_err(|error| {
        StartError::from(format!("{error}\nWhat was moved is there; start the same command again, and it goes on"))
    })?;
    moving.shown.end(config, server);
    let directory = DataDir::new(&config.data_dir).curation();
    let carried = carry(&directory, clickhouse::client(server)?, server.request_timeout_ms).await?;
    shown::curation(carried, &directory);
    Ok(())
}

/// Contents of one day, by the collector's number.
type Day = BTreeMap<i64, Content>;

/// A move under way.
struct Moving {
    source: Source,
    target: Target,
    clock: Arc<dyn Clock>,
    notes: Notes,
    shown: Shown,
}

impl Moving {
    async fn all_days(&mut self, everything: &BTreeMap<i32, Day>) -> Result<(), StartError> {
        let there = by_day(patiently(async || self.there(i32::MIN, i32::MAX).await).await?);
        for (day, here) in everything {
            let has_any = there.get(day).is_some_and(|there| here.keys().any(|number| there.contains_key(number)));
            let is_done =
                self.is_noted(*day, here, &there).await? || (has_any && self.difference(*day, here).await?.is_none());
            if is_done {
                self.shown.was_there(*day, records(here));
            } else {
                self.day(*day, here).await?;
            }
            self.notes.add(*day)?;
        }
        Ok(())
    }

    /// Whether an earlier run has found the day equal, and as much is there now as then.
    async fn is_noted(&self, day: i32, here: &Day, there: &BTreeMap<i32, Day>) -> Result<bool, StartError> {
        if !self.notes.has(day) {
            return Ok(false);
        }
        let now = self.judged_at();
        let kept = contents(&self.source.kept(now, &self.target).await?, day..=day).await?;
        let kept = by_day(kept).remove(&day).unwrap_or_default();
        let count = |contents: &Day, number| contents.get(number).map_or(0, |content: &Content| content.records);
        Ok(here.keys().all(|number| there.get(&day).map_or(0, |there| count(there, number)) >= count(&kept, number)))
    }

    async fn day(&mut self, day: i32, here: &Day) -> Result<(), StartError> {
        copy::day(self, day, &ids(here)).await?;
        match self.difference(day, here).await? {
            None => {
                self.shown.day(day, records(here));
                Ok(())
            }
            Some(difference) => Err(format!(
                "the records of {} are not equal after they were moved: {difference}. A server that ran with ClickHouse \
                 before, or that deletes by another policy than that of this configuration, may be why",
                date_text(day)
            )
            .into()),
        }
    }

    /// What tells the two stores apart on that day; `None` when nothing does.
    async fn difference(&self, day: i32, here: &Day) -> Result<Option<String>, StartError> {
        let last = RecordId(*ids(here).end());
        let now = self.judged_at();
        let kept = checksums(&self.source.kept(now, &self.target).await?, day, last).await?;
        let there = patiently(async || Ok(checksums(&self.target.kept(now).await?, day, last).await?)).await?;
        Ok(here.keys().map(|number| (day, *number)).find_map(|key| {
            let (kept, there) = (kept.get(&key), there.get(&key));
            (kept != there).then(|| format!("{} here, {} there", said(kept), said(there)))
        }))
    }

    async fn there(&self, first: i32, last: i32) -> Result<Contents, Trouble> {
        Ok(contents(&self.target.kept(self.judged_at()).await?, first..=last).await?)
    }

    /// The instant by which both stores are judged.
    fn judged_at(&self) -> TimestampUs {
        TimestampUs(self.clock.now().0 + TimestampUs::from_s(CLOCKS_APART_S).0)
    }
}

/// The smallest identifier that a collector may have given out.
pub(crate) fn first_named() -> RecordId {
    RecordId::first_at(NAMED_SINCE)
}

fn by_day(contents: Contents) -> BTreeMap<i32, Day> {
    let mut days: BTreeMap<i32, Day> = BTreeMap::new();
    for ((day, number), content) in contents {
        days.entry(day).or_default().insert(number, content);
    }
    days
}

/// The collectors that have named records. Identifiers of imported records name none, whatever their bits are.
fn collectors(days: &BTreeMap<i32, Day>) -> BTreeSet<i64> {
    let named = first_named();
    let numbers = days.values().flatten().filter(|(_, content)| content.last >= named);
    numbers.map(|(number, _)| *number).collect()
}

fn records(day: &Day) -> u64 {
    day.values().map(|content| content.records).sum()
}

fn records_in(days: &BTreeMap<i32, Day>) -> u64 {
    days.values().map(records).sum()
}

/// From the smallest to the greatest identifier of a day.
fn ids(day: &Day) -> std::ops::RangeInclusive<i64> {
    let first = day.values().map(|content| content.first.0).min().unwrap_or(0);
    first..=day.values().map(|content| content.last.0).max().unwrap_or(0)
}

fn said(content: Option<&Content>) -> String {
    content.map_or_else(
        || "no records".to_owned(),
        |content| format!("{} records with checksum {:016x}", content.records, content.checksum),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(first: i64, last: i64) -> Content {
        Content { records: 2, first: RecordId(first), last: RecordId(last), checksum: 0 }
    }

    #[test]
    fn imported_records_have_no_collector() {
        let named = RecordId::first_at(NAMED_SINCE).0;
        let days = by_day(Contents::from([((1, 3), content(200, named - 1)), ((2, 5), content(300, named))]));
        assert_eq!(collectors(&days), BTreeSet::from([5]));
    }

    #[test]
    fn a_day_reaches_from_the_smallest_identifier_of_all_collectors_to_the_greatest() {
        let days =
            by_day(Contents::from([((1, 0), content(5, 9)), ((1, 3), content(2, 7)), ((2, 0), content(11, 11))]));
        assert_eq!((ids(&days[&1]), ids(&days[&2])), (2..=9, 11..=11));
        assert_eq!((records(&days[&1]), records_in(&days)), (4, 6));
    }
}
