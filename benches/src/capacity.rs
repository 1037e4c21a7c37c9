//! The measured part of `docs/capacity.md`: what a machine carries, made of the figures of the newest measurements.

use crate::figures::{Results, number};
use crate::report::{Table, anchor, thousands, title};

/// Name of the section in the page.
pub const SECTION: &str = "capacity";
const US_PER_DAY: f64 = 86_400.0 * 1e6;
/// Days of the shipped retention policy.
const DAYS: f64 = 35.0;
/// Of a processor, what records may take all day: the rest is for pages, merges and bad hours.
const SHARE: f64 = 0.5;
/// How records arrive: a name for people, section and name of the processor time of one.
const ARRIVALS: [(&str, &str, &str); 4] = [
    ("single records, a connection each, as probes send them", "ingest", "cpu-v3-per-record-64"),
    ("single records over connections that stay, as a proxy sends them", "ingest", "cpu-v3-keep-alive-64"),
    ("batches of 1,000 records (NDJSON)", "batches", "cpu-plain-1000-4"),
    ("batches of 20,000 records (NDJSON)", "batches", "cpu-plain-20000-4"),
];
const SIZES: [(&str, &str); 3] = [
    ("embedded store", "bytes embedded, merged"),
    ("ClickHouse", "bytes ClickHouse"),
    ("the original's table, for comparison", "bytes original"),
];
/// Questions that tell how a store gets slower.
const QUESTIONS: [&str; 6] = [
    "newest 50 records",
    "newest 50 crashes",
    "newest 50 records of a machine",
    "one record",
    "counts by build",
    "machines by build, all",
];

const OF_ARRIVALS: &str = "\
Processor time a record is measured (the server's own, under 64 senders or 4, with what it does later for the store).
Records a day are extrapolated: a day of one processor, divided by that time; *at half* leaves the other half of the
processor free for pages, merges and bad hours.
";
const OF_DISK: &str = "\
Bytes a record are measured on the fixed corpus (a fifth are crashes of 1,275 bytes; the mean payload has 391 bytes),
after merging, with the counts that pages are answered from. The rest is extrapolated: each file is compressed by itself,
so bytes a record do not grow with how many there are. Those of the counts become less: a day of a machine takes the same
with one record as with a hundred, and here it has one or two. *35 days* is what 1,000 records a second leave under the
shipped policy. The journal comes on top, at most `journal.quota_bytes`, and what a merge writes before it deletes what it
read.
";
const OF_QUESTIONS: &str = "\
Times and growth are measured, on an idle machine. Beyond what was measured, what grew with the records goes on as it
did (extrapolated), and what did not grow is answered from counts by hour and day.
";

/// All of it; what was not measured yet is said to be missing.
#[must_use]
pub fn text(results: &Results) -> String {
    let part = |title: &str, table: String, note: &str| format!("### {title}\n\n{table}\n{note}");
    let most = results.section("growth").and_then(|growth| growth.figures.first()).map(|figure| figure.what.clone());
    let range = most.as_deref().and_then(|what| what.split(',').next()).unwrap_or("growth not measured");
    [
        part("Records a day", arrivals(results), OF_ARRIVALS),
        part("Disk", disk(results), OF_DISK),
        part(&format!("Questions ({range})"), questions(results), OF_QUESTIONS),
        part("Long runs, with kills", long_runs(results), ""),
    ]
    .join("\n")
}

fn value(results: &Results, section: &str, name: &str) -> Option<f64> {
    results.figure(section, name).map(|figure| figure.value)
}

fn link(section: &str) -> String {
    format!("[{}](../benches/RESULTS.md#{})", title(section), anchor(&title(section)))
}

fn cell(value: Option<f64>, shown: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "not measured".to_owned(), shown)
}

fn arrivals(results: &Results) -> String {
    let mut table =
        Table::new(&["how records arrive", ">CPU us/record", "measured in", ">records/day and processor", ">at half"]);
    for (what, section, name) in ARRIVALS {
        let us = value(results, section, name);
        let millions = |share: f64| cell(us, |us| format!("{} million", thousands(share * US_PER_DAY / us / 1e6)));
        table.row([what.to_owned(), cell(us, number), link(section), millions(1.0), millions(SHARE)]);
    }
    table.text().to_owned()
}

fn disk(results: &Results) -> String {
    let mut table = Table::new(&["where", ">bytes/record", "measured in", ">GB a billion records", ">GB in 35 days"]);
    for (what, name) in SIZES {
        let bytes = value(results, "stores", name);
        let days = cell(bytes, |bytes| thousands(bytes * 1_000.0 * 86_400.0 * DAYS / 1e9));
        table.row([what.to_owned(), cell(bytes, number), link("stores"), cell(bytes, thousands), days]);
    }
    table.text().to_owned()
}

fn questions(results: &Results) -> String {
    let mut table = Table::new(&["question", "store", ">ms", "measured in", ">growth, times"]);
    for question in QUESTIONS {
        for (store, name, grown) in
            [("embedded", "embedded", "embedded"), ("ClickHouse", "through-us", "ClickHouse through us")]
        {
            let ms = value(results, "questions", &format!("{name} {question}"));
            let growth = value(results, "growth", &format!("{grown} {question}"));
            let texts = [question.to_owned(), store.to_owned(), cell(ms, number), link("questions")];
            table.row(texts.into_iter().chain([cell(growth, number)]));
        }
    }
    table.text().to_owned()
}

fn long_runs(results: &Results) -> String {
    let mut table = Table::new(&["store", ">records/s", ">most MB", ">p99 ms", ">pages p99 ms", "measured in"]);
    for (store, section) in [("embedded", "soak-embedded"), ("ClickHouse", "soak-clickhouse")] {
        let of = |name: &str| cell(value(results, section, name), number);
        table.row([store.to_owned(), of("rate"), of("memory"), of("p99"), of("pages-p99"), link(section)]);
    }
    table.text().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Figure, Section};

    #[test]
    fn what_was_measured_is_extrapolated_and_what_was_not_is_missing() {
        let mut results = Results::default();
        let figures = vec![Figure::new("bytes ClickHouse", "", 100.0, "bytes/record")];
        results.put("stores", Section { figures, ..Section::default() });
        let figures = vec![Figure::new("cpu-v3-per-record-64", "", 86.4, "us")];
        results.put("ingest", Section { figures, ..Section::default() });
        let text = text(&results);
        assert!(text.contains("| ClickHouse | 100 | [Stores](../benches/RESULTS.md#stores) | 100 | 302 |"), "{text}");
        assert!(
            text.contains(
                "| 86.4 | [Single records](../benches/RESULTS.md#single-records) | 1,000 million | 500 million |"
            ),
            "{text}"
        );
        assert!(text.contains("| embedded store | not measured |"), "{text}");
    }
}
