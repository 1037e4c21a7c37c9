//! The ClickHouse table of records as SQL text made from the list of columns, and its TTL made from the policy.
//!
//! A database is made by the migrations (`migrations.rs`); the statement here is what they have to lead to, and tests
//! compare the two.

use crate::columns::{COLUMNS, Column, Kind, RECORDS};
use crate::expiry;
use crate::retention::{Matcher, RetentionPolicy};
use crate::rollups::{Measure, PAYLOAD, Rollup, STACK_ID, Scope};
use crate::time::US_PER_S;

/// Days that a record lives from its reception when no policy says otherwise.
pub const RETENTION_DAYS_DEFAULT: u32 = expiry::DAYS_DEFAULT;

const S_PER_DAY: u32 = 86_400;
/// The last instant that the type of a TTL can hold, in seconds: what would be later is kept until then (2106).
const TTL_MAX_S: u32 = u32::MAX;
/// Days that lead beyond [`TTL_MAX_S`] from any instant that it can hold.
const FOR_EVER_DAYS: u32 = 100_000;

/// Indexes beside the order of the table: name, column, type. Each entry covers one granule of rows.
const INDEXES: [(&str, &str, &str); 3] = [
    ("id_range", "id", "minmax"),
    ("machines", "machine_id", "bloom_filter(0.01)"),
    ("events", "event_id", "bloom_filter(0.01)"),
];

/// Settings of the table. The two `fsync` settings make a part durable before the insert is answered: the journal
/// forgets a batch after that answer.
const SETTINGS: [(&str, &str); 8] = [
    // Batches that the server remembers by their token, so that a retry of one that had arrived changes nothing.
    ("non_replicated_deduplication_window", "10000"),
    ("fsync_after_insert", "1"),
    ("fsync_part_directory", "1"),
    ("ttl_only_drop_parts", "0"),
    ("materialize_ttl_recalculate_only", "1"),
    // Projections have no codecs of their own, and would take twice the space.
    ("default_compression_codec", "'ZSTD(1)'"),
    // By default the server refuses what would have to make a projection anew.
    ("lightweight_mutation_projection_mode", "'rebuild'"),
    ("deduplicate_merge_projection_mode", "'rebuild'"),
];

/// The statement that makes the table `records` of the newest schema where it is missing; 0 days keep for ever.
///
/// Sorted by (class, time) within a day, as the questions ask.
#[must_use]
pub fn create_records_table(retention_days: u32) -> String {
    let indexes =
        INDEXES.map(|(name, column, kind)| format!("    INDEX `{name}` `{column}` TYPE {kind} GRANULARITY 1"));
    let projections = Rollup::ALL.into_iter().map(projection);
    let parts: Vec<String> = COLUMNS.iter().map(definition).chain(indexes).chain(projections).collect();
    let ttl = ttl(&RetentionPolicy::days(retention_days)).map(|ttl| format!("TTL {ttl}\n")).unwrap_or_default();
    let settings = SETTINGS.map(|(name, value)| format!("{name} = {value}"));
    format!(
        "CREATE TABLE IF NOT EXISTS `{RECORDS}` (\n{}\n)\n\
         ENGINE = MergeTree\n\
         PARTITION BY toDate(ts_reception)\n\
         ORDER BY (classification, ts_reception, id)\n\
         {ttl}SETTINGS {}",
        parts.join(",\n"),
        settings.join(", ")
    )
}

fn definition(column: &Column) -> String {
    let Column { name, kind, description, .. } = column;
    let kind = kind.clickhouse();
    format!("    `{name}` {kind} COMMENT {} CODEC({})", quoted(description), column.clickhouse_codec())
}

/// The part of the table's definition that keeps the rows of a rollup beside the records of each part.
fn projection(rollup: Rollup) -> String {
    let (name, bucket) = (rollup.name(), rollup.bucket());
    let keys = [bucket].iter().chain(rollup.keys()).map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let measure = match rollup.measure() {
        Measure::Records => ", count()".to_owned(),
        Measure::Nothing => String::new(),
        // Under the name that the reader asks by, see `or_null.rs` of analytics.
        Measure::Example => format!(", minOrNull(`{PAYLOAD}`)"),
    };
    let scope = match rollup.scope() {
        Scope::All => String::new(),
        Scope::Class(class) => format!(" WHERE `classification` = {}", quoted(class)),
        Scope::Stacks => format!(" WHERE `{STACK_ID}` != 0"),
    };
    // The bucket as the reader of analytics writes it: the server compares the texts.
    let begin = format!("toDateTime64(dateTrunc('{bucket}', `ts_reception`), 6, 'UTC')");
    format!("    PROJECTION `{name}` (SELECT {begin} AS {keys}{measure}{scope} GROUP BY {keys})")
}

/// The TTL clause of the table under `policy`; `None` when nothing expires.
///
/// A record is deleted at the first whole second at which no view shows it any more. The text is as the server writes
/// it, so that the two can be compared.
///
/// Why there is a condition, though it holds for every record: without one, the server drops a part by the dates that
/// it noted in it under the policy before, and loses what a longer policy keeps. With one, it looks at each row.
#[must_use]
pub fn ttl(policy: &RetentionPolicy) -> Option<String> {
    if policy.is_off() {
        return None;
    }
    let received_s = format!("intDiv(toUnixTimestamp64Micro(ts_reception), {US_PER_S})");
    let days = days(policy);
    Some(format!(
        "toDateTime(least(greatest(({received_s} + 1) + ({days} * {S_PER_DAY}), 1), {TTL_MAX_S})) WHERE id >= 0"
    ))
}

/// The days of a row, as an expression.
fn days(policy: &RetentionPolicy) -> String {
    let in_ttl = |days: u32| if days == 0 { FOR_EVER_DAYS } else { days };
    let rules: Vec<String> =
        policy.deciding().iter().map(|rule| format!("{}, {}", condition(&rule.matcher), in_ttl(rule.days))).collect();
    let default = in_ttl(policy.default_days);
    if rules.is_empty() { default.to_string() } else { format!("multiIf({}, {default})", rules.join(", ")) }
}

fn condition(matcher: &Matcher) -> String {
    match matcher {
        Matcher::Severity(severity) => format!("severity = {severity}"),
        Matcher::Machine(machine) => format!("machine_id = {}", quoted(machine)),
        Matcher::Classification(pattern) => match pattern.strip_suffix('*') {
            Some(prefix) => format!("startsWith(classification, {})", quoted(prefix)),
            None => format!("classification = {}", quoted(pattern)),
        },
    }
}

/// A text as a literal of ClickHouse, which takes a backslash for an escape.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

impl Column {
    /// How ClickHouse compresses the column. Measured on invented records: half the bytes of the server's default.
    #[must_use]
    pub fn clickhouse_codec(&self) -> &'static str {
        match self.kind {
            // A hash: neighbours have nothing in common, and are often 0.
            Kind::Int64 if self.name == STACK_ID => "ZSTD(1)",
            // Neighbours differ by little, in the order of the table.
            Kind::Int64 | Kind::Instant => "Delta(8), ZSTD(1)",
            // Half of all bytes; a higher level than this takes more time than it saves bytes.
            Kind::Text if self.name == "payload" => "ZSTD(3)",
            _ => "ZSTD(1)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::RetentionRule;

    fn rule(matcher: Matcher, days: u32) -> RetentionRule {
        RetentionRule { matcher, days }
    }

    #[test]
    fn names_every_column_and_the_retention() {
        let sql = create_records_table(RETENTION_DAYS_DEFAULT);
        assert!(COLUMNS.iter().all(|c| sql.contains(&format!("`{}` {}", c.name, c.kind.clickhouse()))), "{sql}");
        assert!(sql.contains("(35 * 86400)"), "{sql}");
        assert!(!sql.contains("payload's own"), "quotes in descriptions are escaped");
    }

    #[test]
    fn the_rules_stand_in_deciding_order() {
        let class = |text: &str| Matcher::Classification(text.to_owned());
        let rules = vec![rule(Matcher::Severity(4), 0), rule(class("a/*"), 9), rule(Matcher::Machine("m".into()), 2)];
        let policy = RetentionPolicy { default_days: 5, rules };
        let expected = "multiIf(machine_id = 'm', 2, startsWith(classification, 'a/'), 9, severity = 4, 100000, 5)";
        assert_eq!(days(&policy), expected);
        assert_eq!(days(&RetentionPolicy::days(0)), "100000");
        assert_eq!(ttl(&RetentionPolicy::off()), None);
    }

    #[test]
    fn a_text_cannot_break_out_of_its_quotes() {
        let matcher = Matcher::Classification("a' OR 1=1 --\\".to_owned());
        assert_eq!(condition(&matcher), "classification = 'a\\' OR 1=1 --\\\\'");
    }
}
