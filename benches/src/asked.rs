//! The questions that are measured: how the program asks them, and the best SQL for them.

use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::questions::counts::{self, GROUPS_MAX};
use telemetrics_analytics::questions::keys::Dimension;
use telemetrics_analytics::questions::records::{self, PageRequest};
use telemetrics_analytics::questions::trends::{self, Interval, TOP_MAX, TrendRequest};
use telemetrics_analytics::questions::{offered, population};
use telemetrics_analytics::{Error, View};
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{RecordId, TimestampUs};

/// What questions are asked about: things that are in the corpus.
#[derive(Debug, Clone)]
pub struct Subject {
    /// When they are asked.
    pub now: TimestampUs,
    /// A machine with some records.
    pub machine: String,
    /// A record in the middle of the window.
    pub id: RecordId,
    /// The most frequent build.
    pub build: String,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What it is called in the table.
    pub name: &'static str,
    /// What the program is asked.
    pub question: Question,
    /// What a person who knows the table would write for it. It gives the same number of rows.
    pub sql: String,
}

/// A call of the program's own questions.
#[derive(Debug, Clone)]
pub enum Question {
    /// A page of records.
    Page(RecordFilter, usize),
    /// How many records there are.
    Count(RecordFilter),
    /// One record.
    One(RecordId),
    /// What a form offers.
    Offered,
    /// Counts of all records.
    Counts(RecordFilter, Dimension),
    /// Numbers of records over time, of the largest groups.
    Trend(Interval, Option<Dimension>),
    /// Machines of each build.
    Population(RecordFilter),
}

impl Question {
    /// Asks it; gives the rows of the answer.
    ///
    /// # Errors
    /// As the store's.
    pub async fn ask(&self, view: &View, now: TimestampUs) -> Result<usize, Error> {
        Ok(match self {
            Self::Page(filter, limit) => {
                records::page(view, filter, &PageRequest { limit: *limit, cursor: None }).await?.records.len()
            }
            Self::Count(filter) => records::count(view, filter).await.map(|_| 1)?,
            Self::One(id) => usize::from(records::one(view, *id).await?.is_some()),
            Self::Offered => {
                let offered = offered::offered(view, None).await?;
                offered.classifications.len() + offered.systems.len() + offered.builds.len()
            }
            Self::Counts(filter, by) => counts::counts(view, filter, *by, GROUPS_MAX).await?.groups.len(),
            Self::Trend(interval, by) => {
                let filter = RecordFilter::default();
                let request = TrendRequest { filter, interval: *interval, by: *by, top: TOP_MAX };
                trends::trend(view, &request, now).await?.series.len()
            }
            Self::Population(filter) => population::population(view, filter, GROUPS_MAX).await?.groups.len(),
        })
    }
}

/// All questions about `subject`.
#[must_use]
pub fn all(subject: &Subject) -> Vec<Asked> {
    records_of(subject).into_iter().chain(counts_of(subject)).collect()
}

/// Questions behind charts. The bounds of their SQL are full hours, so that the server's projections can answer.
fn counts_of(subject: &Subject) -> Vec<Asked> {
    let any = RecordFilter::default;
    let from = |days: i64| subject.now.0 - days * US_PER_DAY;
    let within = |days: i64| RecordFilter { received_from: Some(TimestampUs(from(days))), ..any() };
    let hour = "toDateTime64(dateTrunc('hour', ts_reception), 6, 'UTC')";
    let day = "toDateTime64(dateTrunc('day', ts_reception), 6, 'UTC')";
    let group = |keys: &str, days: i64| {
        let from = instant(from(days));
        format!(
            "SELECT {keys}, count() AS n FROM records WHERE {hour} >= {from} GROUP BY {keys} ORDER BY n DESC LIMIT 10000"
        )
    };
    let over_time = |begin: &str, keys: &str| {
        format!(
            "SELECT {begin} AS t{keys}, count() FROM records WHERE {hour} >= {} GROUP BY t{keys}",
            instant(from(35))
        )
    };
    let machines = |days: i64| {
        format!(
            "SELECT system_name, build, external, uniqExact(machine_id) FROM records WHERE {day} >= {} AND \
             classification = 'org.clearlinux/heartbeat/ping' GROUP BY system_name, build, external",
            instant(from(days))
        )
    };
    let asked = |name, question, sql| Asked { name, question, sql };
    vec![
        asked("counts by build", Question::Counts(any(), Dimension::Build), group("system_name, build", 35)),
        asked("counts by class", Question::Counts(any(), Dimension::Classification), group("classification", 35)),
        asked("counts by platform", Question::Counts(any(), Dimension::Platform), group("host_type", 35)),
        asked("counts by severity", Question::Counts(any(), Dimension::Severity), group("severity", 35)),
        asked("a week by class", Question::Counts(within(7), Dimension::Classification), group("classification", 7)),
        asked("trend by hour", Question::Trend(Interval::Hour, None), over_time(hour, "")),
        asked(
            "trend by day and class",
            Question::Trend(Interval::Day, Some(Dimension::Classification)),
            over_time(day, ", classification"),
        ),
        asked("machines by build, 3 days", Question::Population(within(3)), machines(3)),
        asked("machines by build, all", Question::Population(any()), machines(35)),
    ]
}

fn records_of(subject: &Subject) -> Vec<Asked> {
    let any = RecordFilter::default;
    let class = |text: &str| ClassPattern::parse(text).ok();
    let of_machine = RecordFilter { machine_id: Some(subject.machine.clone()), ..any() };
    let crashes = RecordFilter { classification: class("org.clearlinux/crash/*"), ..any() };
    let today = RecordFilter { received_from: Some(TimestampUs(subject.now.0 - US_PER_DAY)), ..any() };
    let of_build = RecordFilter { builds: vec![subject.build.clone()], ..crashes.clone() };
    let living =
        |and: &str| format!("FROM records WHERE ts_reception >= {} {and}", instant(subject.now.0 - 35 * US_PER_DAY));
    let crash = "AND classification >= 'org.clearlinux/crash/' AND classification < 'org.clearlinux/crash0'";
    let page = |and: &str, limit: usize| format!("SELECT * {} ORDER BY id DESC LIMIT {limit}", living(and));
    let machine = format!("AND machine_id = '{}'", subject.machine);
    let build = format!("{crash} AND build = '{}'", subject.build);
    let day = format!("AND ts_reception >= {}", instant(subject.now.0 - US_PER_DAY));
    let asked = |name, question, sql| Asked { name, question, sql };
    vec![
        asked("newest 50 records", Question::Page(any(), 50), page("", 50)),
        asked("newest 10,000 records", Question::Page(any(), 10_000), page("", 10_000)),
        asked("newest 50 crashes", Question::Page(crashes.clone(), 50), page(crash, 50)),
        asked("newest 50 crashes of a build", Question::Page(of_build, 50), page(&build, 50)),
        asked("newest 50 records of a machine", Question::Page(of_machine.clone(), 50), page(&machine, 50)),
        asked(
            "one record",
            Question::One(subject.id),
            format!("SELECT * {}", living(&format!("AND id = {}", subject.id))),
        ),
        asked("count of all", Question::Count(any()), format!("SELECT count() {}", living(""))),
        asked("count of crashes", Question::Count(crashes), format!("SELECT count() {}", living(crash))),
        asked("count of one day", Question::Count(today), format!("SELECT count() {}", living(&day))),
        asked("count of a machine", Question::Count(of_machine), format!("SELECT count() {}", living(&machine))),
        asked(
            "classifications, systems and builds",
            Question::Offered,
            format!(
                "SELECT DISTINCT classification {0} UNION ALL SELECT DISTINCT system_name {0} UNION ALL SELECT DISTINCT build {0}",
                living("")
            ),
        ),
    ]
}

/// An instant as a literal of ClickHouse.
fn instant(us: i64) -> String {
    format!("fromUnixTimestamp64Micro({us})")
}
