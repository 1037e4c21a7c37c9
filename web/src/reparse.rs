//! `telemetrics reparse`: makes what is derived from payloads anew for records that are stored, for who has better parsers
//! now, or records of a version that derived nothing. Attributes become those of the configured parsers.
//!
//! Whatever ends it in the middle, what is done is done, and the next run finds it as it has to be. In the embedded store
//! it needs the data directory for itself. In ClickHouse servers go on inserting: see the writer's `reparse.rs`.

use std::io::{self, IsTerminal};
use std::ops::RangeInclusive;
use std::sync::Arc;

use telemetrics_analytics::filter::ClassPattern;
use telemetrics_analytics::questions::contents::{Contents, contents};
use telemetrics_analytics::questions::derived::{Derivation, candidates, outdated};
use telemetrics_analytics::{Analytics, Limits, View};
use telemetrics_collector::store::{Change, Reparse, Reparsed};
use telemetrics_schema::attributes::Parsers;
use telemetrics_schema::layout::date_text;
use telemetrics_schema::time::Clock;

use crate::clickhouse;
use crate::config::{ClickHouse, Config};
use crate::parsers;
use crate::serve::StartError;
use crate::store_move::{Source, halves, patiently};
use crate::terminal::{percent, say};

/// Records that may have to be changed at once; they and what is derived from them are in memory.
const AT_ONCE: u64 = 200_000;

/// Makes what is derived anew for the records received on these days, counted from 1970-01-01, and says so on standard
/// output.
///
/// # Errors
/// A sentence for the operator. What was changed until then stays changed.
pub async fn run(config: &Config, days: RangeInclusive<i32>, clock: Arc<dyn Clock>) -> Result<(), StartError> {
    let done = match config.store.clickhouse() {
        Some(server) => Box::pin(in_clickhouse(config, server, days, clock)).await,
        None => Box::pin(in_files(config, days, clock)).await,
    };
    let Reparsed { records, changed } = done.map_err(|error| {
        StartError::from(format!("{error}\nWhat was changed is there; start the same command again, and it goes on"))
    })?;
    say(&format!("looked at {records} records, changed {changed}\n"));
    Ok(())
}

async fn in_files(config: &Config, days: RangeInclusive<i32>, clock: Arc<dyn Clock>) -> Result<Reparsed, StartError> {
    let parsers = parsers::load(config)?;
    let source = Source::lock(config).await?.parsed_by(&parsers);
    let total = records_in(&contents(&source.all(clock.now()).await?, days.clone()).await?);
    let mut shown = Shown::new(total);
    Ok(source.table.reparse(days, clock.now(), |day, done| shown.show(day, done)).await?)
}

async fn in_clickhouse(
    config: &Config,
    server: &ClickHouse,
    days: RangeInclusive<i32>,
    clock: Arc<dyn Clock>,
) -> Result<Reparsed, StartError> {
    let writer = clickhouse::writer(config, server)?;
    clickhouse::ready(writer.check().await, server)?;
    let limits = Limits::without_retention();
    let view = Analytics::clickhouse(&clickhouse::for_questions(server)?, limits)?.at(clock.now()).await?;
    let all = contents(&view, days).await?;
    let parsers = parsers::load(config)?;
    let classes = parsers.current().classes();
    let parsers = parsers.for_store();
    let run = writer.reparse().await?;
    let mut work = Work { view, run, parsers, classes, done: Reparsed::default() };
    let mut shown = Shown::new(records_in(&all));
    for ((day, _), content) in all {
        work.range(day, content.first.0..=content.last.0).await?;
        work.done.records += content.records;
        shown.show(day, work.done);
    }
    work.run.end().await?;
    Ok(work.done)
}

/// Work on records in ClickHouse.
struct Work {
    view: View,
    run: Reparse,
    parsers: Arc<dyn Parsers>,
    /// The classes that they look at.
    classes: Vec<ClassPattern>,
    done: Reparsed,
}

impl Work {
    /// Changes the records of a day with identifiers in `ids`, as many at once as fit. Other collectors' are among them,
    /// which finds them changed already when it is their turn.
    async fn range(&mut self, day: i32, ids: RangeInclusive<i64>) -> Result<(), StartError> {
        let mut ranges = vec![ids];
        while let Some(range) = ranges.pop() {
            let few = patiently(async || Ok(candidates(&self.view, day, &range, &self.derivation()).await?)).await?
                <= AT_ONCE;
            match halves(&range).filter(|_| !few) {
                Some(halves) => ranges.extend(halves),
                None => self.change(day, &range).await?,
            }
        }
        Ok(())
    }

    fn derivation(&self) -> Derivation<'_> {
        Derivation { parsers: self.parsers.as_ref(), classes: &self.classes }
    }

    async fn change(&mut self, day: i32, ids: &RangeInclusive<i64>) -> Result<(), StartError> {
        let found = patiently(async || Ok(outdated(&self.view, day, ids, &self.derivation()).await?)).await?;
        let changes: Vec<Change> = found.into_iter().map(|(id, derived)| Change { id, derived }).collect();
        if !changes.is_empty() {
            patiently(async || Ok(self.run.change(day, &changes).await?)).await?;
            self.done.changed += changes.len() as u64;
        }
        Ok(())
    }
}

fn records_in(contents: &Contents) -> u64 {
    contents.values().map(|content| content.records).sum()
}

/// What a person sees: a line that is written over at a terminal, and a line for each day elsewhere.
struct Shown {
    total: u64,
    is_terminal: bool,
    last: Option<(i32, String)>,
}

impl Shown {
    fn new(total: u64) -> Self {
        Self { total, is_terminal: io::stdout().is_terminal(), last: None }
    }

    fn show(&mut self, day: i32, done: Reparsed) {
        if self.last.as_ref().is_some_and(|(last, _)| *last != day) {
            self.end_day();
        }
        let line = line(day, done, self.total);
        if self.is_terminal {
            say(&format!("\r{line}"));
        }
        self.last = Some((day, line));
    }

    fn end_day(&mut self) {
        if let Some((_, line)) = self.last.take() {
            say(&if self.is_terminal { "\n".to_owned() } else { format!("{line}\n") });
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.end_day();
    }
}

fn line(day: i32, done: Reparsed, total: u64) -> String {
    let percent = percent(done.records, total);
    let Reparsed { records, changed } = done;
    format!("{}  {records} of {total} records, {percent} %, {changed} changed", date_text(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let done = Reparsed { records: 50, changed: 7 };
        assert_eq!(line(20_779, done, 200), "2026-11-22  50 of 200 records, 25 %, 7 changed");
        assert_eq!(line(0, Reparsed { records: 3, changed: 0 }, 2), "1970-01-01  3 of 2 records, 100 %, 0 changed");
        assert_eq!(line(0, Reparsed::default(), 0), "1970-01-01  0 of 0 records, 100 %, 0 changed");
    }
}
