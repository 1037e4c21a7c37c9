//! `telemetrics retention --dry-run`: what the configured policy deletes, by rule, before a server applies it.

use std::fmt::Write as _;

use telemetrics_analytics::questions::expired::{Expired, expired};
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::recent::Recent;

use crate::clickhouse;
use crate::config::Config;
use crate::serve::StartError;

/// Asks the store of `config` what its policy would delete at `now`, and gives the answer as a table for people.
///
/// Only reads: a server may run on the same data directory. What is still in its journal is not counted.
///
/// # Errors
/// When the store cannot be read.
pub async fn dry_run(config: &Config, now: TimestampUs) -> Result<String, StartError> {
    let analytics = open(config).await?;
    let view = analytics.at(now).await?;
    let sizes = analytics.day_sizes().await?;
    let report = expired(&view, &config.retention, now, &sizes).await?;
    let total = sizes.total();
    Ok(format!(
        "what the configured policy deletes at {now}; nothing was deleted now\n\n{}\n\
         of {} records in {} bytes. Bytes are estimates: each record counts as much as the others of its day.\n\
         Records in the journal that are not in the store yet are not counted.\n",
        table(&report),
        total.rows,
        total.bytes
    ))
}

/// The store without a policy: what has expired is what is asked for.
async fn open(config: &Config) -> Result<Analytics, StartError> {
    let limits = Limits::without_retention();
    if let Some(server) = config.store.clickhouse() {
        return Ok(Analytics::clickhouse(&clickhouse::for_questions(server)?, limits)?);
    }
    let table = DataDir::new(&config.data_dir).records_table();
    let reader = EmbeddedReader::open(&table, config.collector_number, Recent::default()).await?;
    Ok(Analytics::embedded(reader, limits)?)
}

/// One line for each rule, in the order in which they decide. Writing into a string cannot fail.
fn table(report: &[Expired]) -> String {
    let name = |line: &Expired| line.matcher.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
    let names: Vec<String> = report.iter().map(name).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = format!("{:width$}  {:>8}  {:>12}  {:>16}\n", "rule", "days", "rows", "bytes");
    for (name, line) in names.iter().zip(report) {
        let days = if line.days == 0 { "for ever".to_owned() } else { line.days.to_string() };
        let _ = writeln!(text, "{name:width$}  {days:>8}  {:>12}  {:>16}", line.rows, line.bytes);
    }
    let (rows, bytes) = report.iter().fold((0, 0), |(rows, bytes), line| (rows + line.rows, bytes + line.bytes));
    let _ = writeln!(text, "{:width$}  {:>8}  {rows:>12}  {bytes:>16}", "total", "");
    text
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::retention::Matcher;

    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let line = |matcher, days, rows, bytes| Expired { matcher, days, rows, bytes };
        let report = [
            line(Some(Matcher::Classification("a/b/*".into())), 1, 12, 3_456),
            line(Some(Matcher::Severity(4)), 0, 0, 0),
            line(None, 35, 1, 20),
        ];
        let expected = "\
rule                      days          rows             bytes
classification a/b/*         1            12              3456
severity 4            for ever             0                 0
default                     35             1                20
total                                     13              3476
";
        assert_eq!(table(&report), expected);
    }
}
