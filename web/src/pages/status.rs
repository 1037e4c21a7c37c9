//! The page Status: what comes in, what waits, what is stored, how long it lives, and which versions run.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::trends::{Interval, Trend, TrendRequest, trend};
use telemetrics_analytics::sizes::{DaySizes, Size};
use telemetrics_collector::CollectorStats;
use telemetrics_collector::counters::Reason;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::retention::{PolicyInForce, RetentionPolicy};
use telemetrics_schema::time::{US_PER_HOUR, US_PER_S};

use super::{STATUS_TAB, Shell, message, render, text};
use crate::charts::{Chart, Figure, Kind, Series};
use crate::error::WebError;
use crate::parsers::ParserFiles;
use crate::state::AppState;

/// How many hours the chart of what came in looks back.
const HOURS: i64 = 24;
/// Most days of the chart of what is stored: the newest.
const DAYS_MAX: usize = 40;
/// Most rules of the policy that are listed.
const RULES_MAX: usize = 50;
/// Most files that cannot be used that are listed.
const TROUBLES_MAX: usize = 20;
/// Longest fact, in characters.
const FACT_CHARS: usize = 200;

/// What a process knows about itself.
#[derive(Debug, Clone)]
pub struct About {
    /// Where records are kept, a few words.
    pub store: String,
    /// How long they live.
    pub retention: PolicyInForce,
}

/// What was found.
pub struct Found<'a> {
    /// What the process knows about itself.
    pub about: &'a About,
    /// What its collector tells, where it has one.
    pub collector: Option<&'a CollectorStats>,
    /// Why files of payload parsers are not used, where the process has parsers.
    pub parsers: Option<&'a [String]>,
    /// The version of the store, where that is a server.
    pub store_version: Option<&'a str>,
    /// Records by hour.
    pub hours: &'a Trend,
    /// What the store takes.
    pub sizes: &'a DaySizes,
    /// The present instant.
    pub now: TimestampUs,
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "status.html")]
pub struct StatusPage {
    shell: Shell,
    groups: Vec<Group>,
    figures: Vec<Figure>,
}

/// Facts about one part of the server.
#[derive(Debug, Clone)]
struct Group {
    title: &'static str,
    facts: Vec<Fact>,
}

#[derive(Debug, Clone)]
struct Fact {
    name: String,
    value: String,
}

fn fact(name: impl Into<String>, value: impl AsRef<str>) -> Fact {
    Fact { name: name.into(), value: text::line(value.as_ref(), FACT_CHARS) }
}

impl StatusPage {
    /// The page.
    #[must_use]
    pub fn new(found: &Found<'_>) -> Self {
        let Found { about, collector, parsers, store_version, hours, sizes, now } = found;
        let mut groups = vec![Group { title: "Ingest", facts: ingest(*collector, hours) }];
        groups.extend(collector.map(|stats| Group { title: "Buffer", facts: buffer(stats, *now) }));
        groups.push(Group { title: "Store", facts: store(about, sizes) });
        groups.push(Group { title: "Retention", facts: retention(&about.retention.now()) });
        groups.extend(parsers.map(|troubles| Group { title: "Payload parsers", facts: broken(troubles) }));
        let versions = [Some(("telemetrics", env!("CARGO_PKG_VERSION"))), store_version.map(|is| ("ClickHouse", is))];
        let versions = versions.into_iter().flatten().map(|(of, is)| fact(of, is)).collect();
        groups.push(Group { title: "Versions", facts: versions });
        let figures = vec![by_hour(hours).figure(), by_day(sizes).figure()];
        Self { shell: Shell::new("Status", Some(STATUS_TAB)), groups, figures }
    }
}

fn ingest(collector: Option<&CollectorStats>, hours: &Trend) -> Vec<Fact> {
    let received: u64 = hours.series.iter().flat_map(|series| &series.records).sum();
    let mut facts = vec![fact("Received in the last 24 hours", text::records(received))];
    let Some(stats) = collector else {
        facts.push(fact("Collector", "none in this process"));
        return facts;
    };
    let counts = &stats.counts;
    facts.push(fact("Acknowledged since the start", text::records(counts.accepted)));
    facts.push(fact("Sent again, stored once", text::records(counts.redelivered)));
    facts.push(fact("Kept aside", text::records(counts.quarantined)));
    let rejected = Reason::ALL.iter().zip(counts.rejected).filter(|(_, number)| *number > 0);
    facts
        .extend(rejected.map(|(reason, number)| fact(format!("Refused: {}", reason.label()), text::thousands(number))));
    facts
}

fn buffer(stats: &CollectorStats, now: TimestampUs) -> Vec<Fact> {
    let journal = &stats.journal;
    let age_s = journal.oldest_pending.map_or(0, |oldest| (now.0 - oldest.0).max(0) / US_PER_S);
    vec![
        fact("Journal can be written", if journal.writable { "yes" } else { "no: see the log" }),
        fact("Waiting for the store", text::records(stats.pending_records)),
        fact("Oldest of them, seconds", text::thousands(age_s.unsigned_abs())),
        fact("Journal on disk", text::bytes(journal.bytes)),
        fact("Writes that failed", text::thousands(journal.failures)),
        fact("Inserts that failed", text::thousands(stats.counts.inserts_unavailable + stats.counts.inserts_refused)),
    ]
}

fn store(about: &About, sizes: &DaySizes) -> Vec<Fact> {
    let Size { rows, bytes, .. } = sizes.total();
    let oldest = sizes.days().next().and_then(|(day, _)| date(day));
    vec![
        fact("Where", &about.store),
        fact("On disk", format!("{} in {}", text::records(rows), text::bytes(bytes))),
        fact("Oldest day", oldest.unwrap_or_else(|| "none".to_owned())),
    ]
}

/// What every policy says first, then its rules.
fn retention(policy: &RetentionPolicy) -> Vec<Fact> {
    let days = |days: u32| match days {
        0 => "for ever".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    let rules = policy.rules.iter().take(RULES_MAX);
    let rules = rules.map(|rule| fact(text::line(&rule.matcher.to_string(), FACT_CHARS), days(rule.days)));
    [fact("All others", days(policy.default_days))].into_iter().chain(rules).collect()
}

/// Which files of payload parsers are not used, and why.
fn broken(troubles: &[String]) -> Vec<Fact> {
    if troubles.is_empty() {
        return vec![fact("Files that cannot be used", "none")];
    }
    let shown = troubles.iter().take(TROUBLES_MAX).map(|trouble| fact("Cannot be used", trouble));
    let more = troubles.len().saturating_sub(TROUBLES_MAX);
    let more = (more > 0).then(|| fact("Cannot be used either", format!("{more} more: see the log")));
    shown.chain(more).chain([fact("In use", "the parsers from before")]).collect()
}

fn date(day: i32) -> Option<String> {
    TimestampUs::from_day(day).date().map(|date| date.to_string())
}

/// What came in, hour by hour.
pub(super) fn by_hour(hours: &Trend) -> Chart {
    let name = |begin: &TimestampUs| begin.to_string().get(11..16).unwrap_or_default().to_owned();
    let records = hours.series.first().map(|series| series.records.clone()).unwrap_or_default();
    Chart {
        title: "Records received by hour".to_owned(),
        kind: Kind::Columns,
        category: "hour".into(),
        names: hours.buckets.iter().map(name).collect(),
        series: vec![Series::counts("records", records)],
    }
}

fn by_day(sizes: &DaySizes) -> Chart {
    let mut days: Vec<(i32, Size)> = sizes.days().collect();
    let days = days.split_off(days.len().saturating_sub(DAYS_MAX));
    Chart {
        title: "Records stored by day".to_owned(),
        kind: Kind::Columns,
        category: "day".into(),
        names: days.iter().map(|(day, _)| date(*day).unwrap_or_default()).collect(),
        series: vec![Series::counts("records", days.iter().map(|(_, size)| size.rows))],
    }
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>) -> Response {
    answer(&state).await.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState) -> Result<Response, WebError> {
    let asked = state.ask().await?;
    let received_from = Some(TimestampUs(asked.now.0 - HOURS * US_PER_HOUR));
    let filter = RecordFilter { received_from, ..RecordFilter::default() };
    let request = TrendRequest { filter, interval: Interval::Hour, by: None, top: 1 };
    let version = async {
        match &state.store_version {
            Some(version) => Ok(Some(version.ask().await)),
            None => Ok(None),
        }
    };
    let (hours, sizes, store_version) =
        tokio::try_join!(trend(&asked.view, &request, asked.now), state.analytics.day_sizes(), version)?;
    let collector = state.collector.as_ref().map(telemetrics_collector::Collector::stats);
    let troubles = state.parsers.as_ref().map(ParserFiles::troubles);
    let found = Found {
        about: &state.about,
        collector: collector.as_ref(),
        parsers: troubles.as_deref(),
        store_version: store_version.as_deref(),
        hours: &hours,
        sizes: &sizes,
        now: asked.now,
    };
    Ok(render(StatusCode::OK, &StatusPage::new(&found)))
}
