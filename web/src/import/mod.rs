//! `telemetrics import`: brings records that have identifiers and times of reception already, from the database of the
//! original or from files, together with what users of the original curated.
//!
//! # Why each record arrives once
//! A source is read in pieces that follow from it alone. The store is asked which records of a piece it has, on whatever
//! day, and only the others are inserted, a batch for each day. Then it is asked again: every record of the piece has to be
//! there, once and with what it says. So a run after a broken one, or of the same file again, finds what is done by asking
//! and needs no notes. With the embedded store nobody else writes meanwhile. In ClickHouse an insert of a process that died
//! may still be under way: the next run makes the same batch with the same deduplication token, which is taken once.
//!
//! # What is not imported
//! Nothing is left out in silence. A row that is no valid record is refused with its place and the reason; so is one whose
//! identifier another record has, and one that may still be in the journal of this server. What the policy would delete at
//! once is counted and left out.

mod curation;
mod files;
mod postgres;
mod row;
mod shown;
mod source;
mod target;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use telemetrics_collector::drain::Batch;
use telemetrics_schema::retention::Subject;
use telemetrics_schema::time::{Clock, US_PER_HOUR};
use telemetrics_schema::{Record, RecordId, TimestampUs};

use crate::cli_import::ImportArgs;
use crate::config::Config;
use crate::serve::StartError;
pub(crate) use postgres::PSQL_VARIABLE;
use postgres::{Original, Server};
use shown::{Shown, Tally};
use source::{Piece, Place, Source};
use target::Target;

/// Records that expire within so long count as expired: another clock may be ahead, and an import takes its time.
const EXPIRES_SOON_US: i64 = US_PER_HOUR;

/// Imports what `args` name and says so on standard output.
///
/// # Errors
/// A sentence for the operator: also when all went well but for rows that were refused.
pub async fn run(config: &Config, args: &ImportArgs, clock: Arc<dyn Clock>) -> Result<(), StartError> {
    let original = args.postgres.as_deref().map(Server::at).transpose()?;
    let tables = original.as_ref().map(Server::tables).transpose()?;
    let target = Box::pin(Target::open(config)).await?;
    let shown = Shown::new(args.refused.as_deref())?;
    let mut import = Import { target, shown, clock: Arc::clone(&clock), is_dry: args.dry_run, refused: 0 };
    let outcome = async {
        for source in source::of_files(&args.files)? {
            import.source(source).await?;
        }
        if let (Some(server), Some(tables)) = (original, tables) {
            let curated = curation::read(&server, &tables)?;
            import.source(Source::Original(Box::new(Original::open(server, &tables)?))).await?;
            curation::import(config, &curated, &clock, args.dry_run).await?;
        }
        Ok(import.refused)
    };
    match Box::pin(outcome).await {
        Ok(0) => Ok(()),
        Ok(refused) => Err(format!("{refused} rows were refused, everything else was done").into()),
        Err::<_, StartError>(error) => Err(format!(
            "{error}\nWhat was imported stays; start the same command again, and it goes on with what is missing"
        )
        .into()),
    }
}

struct Import {
    target: Target,
    shown: Shown,
    clock: Arc<dyn Clock>,
    is_dry: bool,
    refused: u64,
}

/// What becomes of the records of a piece.
#[derive(Default)]
struct Sorted {
    /// By the day of their reception.
    new: BTreeMap<i32, Vec<Record>>,
    tally: Tally,
    refused: Vec<(Place, String)>,
}

impl Import {
    async fn source(&mut self, source: Source) -> Result<(), StartError> {
        self.shown.begin(&source.name(), source.size());
        let mut pieces = source.pieces(self.clock.now());
        let mut tally = Tally::default();
        while let Some(piece) = pieces.recv().await {
            self.piece(piece?, &mut tally).await?;
        }
        self.refused += tally.refused;
        self.shown.end(&tally, self.is_dry)
    }

    async fn piece(&mut self, mut piece: Piece, tally: &mut Tally) -> Result<(), StartError> {
        tally.rows += piece.rows() as u64;
        let refused = std::mem::take(&mut piece.refused);
        let position = piece.position;
        let now = self.clock.now();
        let sorted = self.sorted(piece.records, now).await?;
        for (place, reason) in refused.iter().chain(&sorted.refused) {
            self.shown.refused(*place, reason)?;
        }
        tally.refused += (refused.len() + sorted.refused.len()) as u64;
        tally.imported += sorted.tally.imported;
        tally.there += sorted.tally.there;
        tally.expired += sorted.tally.expired;
        if !self.is_dry {
            self.deliver(sorted.new, now).await?;
        }
        self.shown.progress(position, tally);
        Ok(())
    }

    async fn sorted(&self, records: Vec<(Place, Record)>, now: TimestampUs) -> Result<Sorted, StartError> {
        let mut sorted = Sorted::default();
        let kept = records.into_iter().filter(|(_, record)| {
            let is_expired = self.expires(record, now);
            sorted.tally.expired += u64::from(is_expired);
            !is_expired
        });
        let kept: Vec<(Place, Record)> = kept.collect();
        let ids: BTreeSet<RecordId> = kept.iter().map(|(_, record)| record.id).collect();
        let mut known = self.target.held(&ids, now).await?;
        for (place, record) in kept {
            match known.get(&record.id).and_then(|known| known.first()) {
                Some(other) if is_same(other, &record) => sorted.tally.there += 1,
                Some(_) => sorted.refused.push((place, format!("id {} is that of another record", record.id))),
                None if self.target.may_be_waiting(record.id) => sorted.refused.push((place, waiting(record.id))),
                None => {
                    known.insert(record.id, vec![record.clone()]);
                    sorted.tally.imported += 1;
                    sorted.new.entry(record.ts_reception.day()).or_default().push(record);
                }
            }
        }
        Ok(sorted)
    }

    fn expires(&self, record: &Record, now: TimestampUs) -> bool {
        let report = &record.report;
        let (classification, severity, machine_id) = (&*report.classification, report.severity, &*report.machine_id);
        let subject = Subject { classification, severity, machine_id };
        let last_seen = self.target.policy.last_seen(&subject, record.ts_reception);
        last_seen.is_some_and(|last| last.0 < now.0 + EXPIRES_SOON_US)
    }

    /// Inserts the records and reads them back.
    async fn deliver(&mut self, days: BTreeMap<i32, Vec<Record>>, now: TimestampUs) -> Result<(), StartError> {
        for (_, mut records) in days {
            records.sort_unstable_by_key(|record| record.id);
            let ids = records.iter().map(|record| record.id).collect();
            let Some(batch) = Batch::of(records.into_iter().map(Arc::new).collect()) else { continue };
            self.target.insert(&batch, now).await?;
            compare(&batch, &self.target.held(&ids, now).await?)?;
        }
        Ok(())
    }
}

fn compare(batch: &Batch, there: &HashMap<RecordId, Vec<Record>>) -> Result<(), StartError> {
    let is_there = |record: &&Arc<Record>| there.get(&record.id).is_some_and(|found| *found == [Record::clone(record)]);
    match batch.records().iter().find(|record| !is_there(record)) {
        None => Ok(()),
        Some(record) => {
            let found = there.get(&record.id).map_or(0, Vec::len);
            Err(format!("the record {} was inserted, and the store has {found} that are not all equal", record.id)
                .into())
        }
    }
}

/// Whether two records of one name are the same one. Sources lack columns and fractions of seconds, so not all is compared.
fn is_same(one: &Record, other: &Record) -> bool {
    let said = |record: &Record| {
        let report = &record.report;
        (record.ts_reception.as_s(), report.classification.clone(), report.machine_id.clone(), report.payload.clone())
    };
    said(one) == said(other)
}

fn waiting(id: RecordId) -> String {
    format!(
        "id {id} may be that of a record in the journal of this server: start it once, so that it delivers, and stop it \
         before the next import"
    )
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::Report;

    use super::*;

    #[test]
    fn a_record_without_fractions_or_hardware_is_the_same_one() {
        let record = |us, payload: &str, arch: &str| {
            let report = Report { payload: payload.into(), arch: arch.into(), ..Report::default() };
            Record { id: RecordId(1), ts_reception: TimestampUs(us), report }
        };
        let one = record(5_250_000, "p", "x86_64");
        assert!(is_same(&one, &record(5_000_000, "p", "N/A")));
        assert!(!is_same(&one, &record(6_000_000, "p", "x86_64")));
        assert!(!is_same(&one, &record(5_250_000, "q", "x86_64")));
    }
}
