//! The page MCE: machine checks of this year by week, class, build, kind of error and machine.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use futures::FutureExt as _;
use telemetrics_analytics::questions::counts::{Counts, counts};
use telemetrics_analytics::questions::hardware::{self, Kind as KindOfError, OfMachine};
use telemetrics_analytics::questions::keys::{Dimension, Key};
use telemetrics_analytics::questions::records;
use telemetrics_analytics::questions::trends::{SeriesOf, Trend, trend};

use super::numbers::{self, Numbers, Question, Same, Subject};
use super::query::Given;
use super::{MCE_TAB, address, rotation, text};
use crate::api::hardware::{NOT_HERE, checks_by_week, this_year};
use crate::charts::share::percent;
use crate::charts::{CATEGORIES_MAX, CELLS_MAX, Chart, Figure, Kind, SERIES_MAX, Series};
use crate::error::WebError;
use crate::state::AppState;

const SUBJECT: Subject = Subject { tab: MCE_TAB, of_one_system: true, not_here: &NOT_HERE };
const ENDPOINT: &str = "/api/mce";

/// Most bars of a chart.
const BARS_MAX: usize = 12;
/// Most builds that are named beside a machine.
const BUILDS_NAMED_MAX: usize = 3;
/// Longest address that leads to the records of a machine, in bytes of HTML.
const ADDRESS_HTML_BYTES_MAX: usize = 600;

/// Answers with the page.
pub async fn show(State(state): State<AppState>, uri: Uri) -> Response {
    numbers::show(&state, &uri, &SUBJECT, |question| find(question).boxed()).await
}

async fn find(question: Question<'_>) -> Result<Numbers, WebError> {
    let (view, now) = (&question.asked.view, question.asked.now);
    let filter = this_year(question.filter.clone(), now);
    let checks = hardware::filter_of(&filter);
    let by_week = checks_by_week(&filter);
    let (total, weeks, classes, builds, kinds, machines) = tokio::try_join!(
        records::count(view, &checks),
        trend(view, &by_week, now),
        counts(view, &checks, Dimension::Classification, BARS_MAX),
        counts(view, &checks, Dimension::Build, BARS_MAX),
        hardware::statuses(view, &filter),
        hardware::machines(view, &filter, BARS_MAX),
    )?;
    let figures = vec![
        by_week_chart(&weeks).figure(),
        by_class(&classes, total),
        by_build(&builds, total),
        by_kind(&kinds, total),
        by_machine(&machines, question.given),
    ];
    let same = [("By week", "week"), ("By class", "classification"), ("By build", "build"), ("By status", "status")];
    let same = same.into_iter().chain([("By machine", "machine")]);
    Ok(Numbers {
        figures,
        notes: vec![rotation::note_of_ids()],
        same: same.map(|(label, by)| Same::new(label, question.given, ENDPOINT, &[("by", by)])).collect(),
        ..Numbers::default()
    })
}

/// The newest weeks, as many as a chart has room for.
pub(super) fn by_week_chart(trend: &Trend) -> Chart {
    let series: Vec<_> = trend.series.iter().take(SERIES_MAX).collect();
    let weeks = CATEGORIES_MAX.min(CELLS_MAX / series.len().max(1));
    let before = trend.buckets.len().saturating_sub(weeks);
    let week = |begin: &telemetrics_schema::TimestampUs| begin.date().map(|date| date.format("%G-W%V").to_string());
    Chart {
        title: "Events by week".to_owned(),
        kind: Kind::Stacked,
        category: "week".into(),
        names: trend.buckets.iter().skip(before).map(|begin| week(begin).unwrap_or_default()).collect(),
        series: series
            .into_iter()
            .map(|series| Series::counts(name(&series.of), series.records.iter().skip(before).copied()))
            .collect(),
    }
}

fn name(of: &SeriesOf) -> String {
    match of {
        SeriesOf::Key(Key::Classification(class)) => last_part(class),
        SeriesOf::Key(_) | SeriesOf::All => "events".to_owned(),
        SeriesOf::Rest => "others".to_owned(),
    }
}

fn last_part(class: &str) -> String {
    class.rsplit('/').next().unwrap_or_default().to_owned()
}

fn bars(title: &str, category: &'static str, rows: impl Iterator<Item = (String, u64)>) -> Chart {
    let (names, records): (Vec<String>, Vec<u64>) = rows.unzip();
    let series = vec![Series::counts("records", records)];
    Chart { title: title.to_owned(), kind: Kind::Bars, category: category.into(), names, series }
}

/// The largest parts of `total` records with the share that each has, and all others as one.
fn shares(title: &str, category: &'static str, rows: impl Iterator<Item = (String, u64)>, total: u64) -> Figure {
    let mut rows: Vec<(String, u64)> = rows.take(BARS_MAX).collect();
    let others = total.saturating_sub(rows.iter().map(|(_, records)| records).sum());
    if others > 0 {
        rows.push(("others".to_owned(), others));
    }
    // Shares need no more than a few digits.
    #[allow(clippy::cast_precision_loss)]
    let share = |(_, records): &(String, u64)| percent(*records as f64, total as f64);
    let shares: Vec<String> = rows.iter().map(share).collect();
    bars(title, category, rows.into_iter()).figure().with_column("share", shares)
}

fn by_class(counts: &Counts, total: u64) -> Figure {
    let rows = counts.groups.iter().filter_map(|group| match &group.key {
        Key::Classification(class) => Some((last_part(class), group.records)),
        _ => None,
    });
    shares("By class", "class", rows, total)
}

fn by_build(counts: &Counts, total: u64) -> Figure {
    let rows = counts.groups.iter().filter_map(|group| match &group.key {
        Key::Build { build, .. } => Some((build.clone(), group.records)),
        _ => None,
    });
    shares("By build", "build", rows, total)
}

fn by_kind(kinds: &[KindOfError], total: u64) -> Figure {
    let name = |kind: &KindOfError| if kind.status.is_empty() { "no status".to_owned() } else { kind.status.clone() };
    shares("By status", "status", kinds.iter().map(|kind| (name(kind), kind.records)), total)
}

/// The machines with most machine checks, each of which leads to its records.
fn by_machine(machines: &[OfMachine], given: &Given) -> Figure {
    let name = |machine: &OfMachine| {
        let named = machine.builds.iter().take(BUILDS_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let more = if machine.builds.len() > BUILDS_NAMED_MAX { ", ..." } else { "" };
        format!("{} on {named}{more}", machine.machine_id.chars().take(8).collect::<String>())
    };
    let rows = machines.iter().map(|machine| (name(machine), machine.records));
    let addresses = machines.iter().map(|machine| records_of(&machine.machine_id, given));
    bars("By machine", "machine", rows).figure().with_addresses(addresses)
}

/// The records of a machine that pass the filters of the page, or all of its records where these are long.
fn records_of(machine_id: &str, given: &Given) -> String {
    let machine = ("machine_id", machine_id);
    let others = given.filters().filter(|(name, _)| *name != "machine_id");
    let address = address::with_query(address::RECORDS, others.chain([machine]));
    if text::html_bytes(&address) <= ADDRESS_HTML_BYTES_MAX {
        return address;
    }
    address::with_query(address::RECORDS, [machine])
}

#[cfg(test)]
mod tests {
    use telemetrics_analytics::questions::trends::Series as TrendSeries;
    use telemetrics_schema::TimestampUs;
    use telemetrics_schema::time::US_PER_DAY;

    use super::*;

    #[test]
    fn weeks_have_the_numbers_of_their_years() {
        let first = TimestampUs::from_date("2025-12-29").expect("a date");
        let buckets: Vec<_> = (0..3).map(|week| TimestampUs(first.0 + week * 7 * US_PER_DAY)).collect();
        let of = SeriesOf::Key(Key::Classification("org.clearlinux/mce/SRAO".to_owned()));
        let chart = by_week_chart(&Trend { buckets, series: vec![TrendSeries { of, records: vec![1, 2, 3] }] });
        assert_eq!(chart.names, ["2026-W01", "2026-W02", "2026-W03"]);
        assert_eq!((chart.series[0].name.as_str(), chart.series[0].values[2]), ("SRAO", Some(3.0)));
    }

    #[test]
    fn a_machine_is_named_with_its_first_builds() {
        let builds = ["1", "2", "3", "4"].map(str::to_owned).to_vec();
        let machine = OfMachine { machine_id: "0123456789".to_owned(), builds, records: 7 };
        let given = Given::parse("build=1&machine_id=x").expect("short");
        let row = by_machine(&[machine], &given).rows.remove(0);
        assert_eq!(row.name, "01234567 on 1, 2, 3, ...");
        assert_eq!(row.address.as_deref(), Some("/telemetryui/records?build=1&machine_id=0123456789"));
        let without = "/telemetryui/records?machine_id=m";
        let room = ADDRESS_HTML_BYTES_MAX - text::html_bytes(&format!("{without}&payload="));
        let long = |bytes: usize| Given::parse(&format!("payload={}", "p".repeat(bytes))).expect("short");
        assert_eq!(text::html_bytes(&records_of("m", &long(room))), ADDRESS_HTML_BYTES_MAX);
        assert_eq!(records_of("m", &long(room + 1)), without);
    }

    #[test]
    fn what_is_not_told_apart_is_in_the_table_with_its_share() {
        let kind = |number: u64| KindOfError { status: number.to_string(), records: 1 };
        let kinds: Vec<KindOfError> = (0..=BARS_MAX as u64).map(kind).collect();
        let figure = by_kind(&kinds, 20);
        let last = figure.rows.last().expect("rows");
        assert_eq!((figure.rows.len(), last.name.as_str()), (BARS_MAX + 1, "others"));
        assert_eq!((figure.head[2].as_str(), last.values.join(" ").as_str()), ("share", "8 40.0 %"));
        let unnamed = by_kind(&[KindOfError { status: String::new(), records: 2 }], 2).rows;
        assert_eq!(
            (unnamed.len(), unnamed[0].name.as_str(), unnamed[0].values[1].as_str()),
            (1, "no status", "100.0 %")
        );
    }
}
