//! What crosses the wire: of an aggregation the groups, never the records that they were made of; and how often a page is
//! asked for.

use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_analytics::crashes::StackBook;
use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::questions::attributes::of_record;
use telemetrics_analytics::questions::collectors::last_receptions;
use telemetrics_analytics::questions::contents::{checksums, contents, count_of};
use telemetrics_analytics::questions::counts::{GROUPS_MAX, counts};
use telemetrics_analytics::questions::crash_rate::{Scope, tables};
use telemetrics_analytics::questions::crash_totals::crash_totals;
use telemetrics_analytics::questions::crashes::{Causes, GUILTIES_MAX, Wanted, crashes};
use telemetrics_analytics::questions::expired::expired;
use telemetrics_analytics::questions::frames::{FRAMES_MAX, frames};
use telemetrics_analytics::questions::guilty::{self, by_machine, by_stack};
use telemetrics_analytics::questions::guilty_strikes::guilty_strikes;
use telemetrics_analytics::questions::hardware::{filter_of, machines, statuses};
use telemetrics_analytics::questions::keys::Dimension;
use telemetrics_analytics::questions::newest::newest;
use telemetrics_analytics::questions::offered::offered;
use telemetrics_analytics::questions::population::population;
use telemetrics_analytics::questions::records::{self, Cursor, PageRequest, Seen};
use telemetrics_analytics::questions::regrouped::regrouped;
use telemetrics_analytics::questions::stacks::{STACKS_MAX, examples, seen};
use telemetrics_analytics::questions::systems::usual;
use telemetrics_analytics::questions::trends::{Interval, TrendRequest, trend};
use telemetrics_analytics::questions::updates::{UPDATE, updates};
use telemetrics_analytics::sizes::DaySizes;
use telemetrics_analytics::{Analytics, Limits, View};
use telemetrics_schema::answer::Fields;
use telemetrics_schema::payload::{Filters, derive};
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::rollups::HEARTBEAT;
use telemetrics_schema::time::{US_PER_DAY, US_PER_HOUR};
use telemetrics_schema::{Record, RecordId, TimestampUs};
use telemetrics_testkit::ClickHouse;

use super::corpus::NOW;
use super::stores::Stores;

/// The header in which the server says how many rows its answer has; right, when it waits for the end of the query.
const SUMMARY: &str = "\r\nX-ClickHouse-Summary: ";

/// A way to the server that keeps what came back.
struct Wire {
    address: SocketAddr,
    answered: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let wire = Self { address: listener.local_addr().expect("an address"), answered: Arc::default() };
        let answered = Arc::clone(&wire.answered);
        // Until the process ends.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                pass(&client, server, &answered);
            }
        });
        wire
    }

    /// The rows of every answer since the last call.
    fn rows(&self) -> Vec<u64> {
        let bytes = std::mem::take(&mut *self.answered.lock().unwrap_or_else(PoisonError::into_inner));
        let text = String::from_utf8_lossy(&bytes);
        let summaries = text.split(SUMMARY).skip(1).map(|rest| rest.lines().next().unwrap_or_default());
        let rows = |summary: &str| {
            let (_, rest) = summary.split_once(r#""result_rows":""#)?;
            rest.split_once('"')?.0.parse().ok()
        };
        summaries.map(|summary| rows(summary).unwrap_or_else(|| panic!("no rows: {summary}"))).collect()
    }
}

/// Connects the two, in threads that end with the connection.
fn pass(client: &TcpStream, server: SocketAddr, answered: &Arc<Mutex<Vec<u8>>>) {
    let server = TcpStream::connect(server).expect("the server");
    let (from_client, to_client) = (client.try_clone().expect("a handle"), client.try_clone().expect("a handle"));
    let (to_server, from_server) = (server.try_clone().expect("a handle"), server);
    let answered = Arc::clone(answered);
    thread::spawn(move || copy(from_client, to_server, |_| ()));
    thread::spawn(move || {
        copy(from_server, to_client, |bytes| {
            answered.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        });
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, note: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        note(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _gone_already = to.shutdown(Shutdown::Both);
}

/// Questions over the corpus by way of a wire.
struct OverWire {
    wire: Wire,
    view: View,
}

impl OverWire {
    async fn of(stores: &Stores) -> Self {
        let wire = Wire::to(ClickHouse::shared().address());
        let settings = ClickHouseSettings { url: format!("http://{}", wire.address), ..stores.settings() };
        let transport = settings.transport.clone().with_setting("wait_end_of_query", "1");
        let limits = Limits::without_retention();
        let analytics = Analytics::clickhouse(&ClickHouseSettings { transport, ..settings }, limits);
        let view = analytics.expect("analytics").at(NOW).await.expect("a view");
        Self { wire, view }
    }

    /// At most `most` rows came in all for the question before.
    fn assert_at_most(&self, most: usize, question: &str) {
        let rows = self.wire.rows();
        let sum = rows.iter().sum::<u64>();
        assert!(!rows.is_empty(), "{question}: nothing was asked");
        assert!(sum <= most as u64, "{question}: {rows:?} rows, but {most} groups");
    }
}

#[test]
fn an_aggregation_brings_its_groups_and_no_records() {
    let stores = Stores::shared();
    stores.block_on(async {
        let asked = OverWire::of(stores).await;
        let filter = RecordFilter::default();
        let records = records::count(&asked.view, &filter).await.expect("a count");
        asked.assert_at_most(1, "count");
        assert_eq!(records, stores.records.len() as u64);
        count_groups(&asked, &filter).await;
        count_over_time(&asked).await;
        count_others(&asked).await;
        count_by_stack(&asked, &stores.records, &filter).await;
        count_by_cause(&asked, &stores.records, &filter).await;
        count_failures(&asked, &stores.records, &filter).await;
        count_what_is_held(&asked, &stores.records).await;
    });
}

async fn count_groups(asked: &OverWire, filter: &RecordFilter) {
    let dimensions =
        [Dimension::Build, Dimension::Classification, Dimension::Platform, Dimension::Severity, Dimension::System];
    for by in dimensions {
        let groups = counts(&asked.view, filter, by, GROUPS_MAX).await.expect("counts").groups;
        asked.assert_at_most(groups.len(), &format!("{by:?}"));
        counts(&asked.view, filter, by, 2).await.expect("counts");
        asked.assert_at_most(3, "the two largest, and one to see that there are more");
    }
    let machines = population(&asked.view, filter, GROUPS_MAX).await.expect("a population").groups;
    asked.assert_at_most(machines.len(), "population");
}

async fn count_over_time(asked: &OverWire) {
    let received_from = Some(TimestampUs(NOW.0 - 7 * US_PER_DAY));
    for interval in [Interval::Hour, Interval::Day, Interval::Week] {
        for by in [None, Some(Dimension::Build)] {
            // Some odd records were received later than now.
            let filter = RecordFilter { received_from, received_before: Some(NOW), ..RecordFilter::default() };
            let request = TrendRequest { filter, interval, by, top: 2 };
            let trend = trend(&asked.view, &request, NOW).await.expect("a trend");
            // The two largest groups are asked for first.
            let largest = if by.is_some() { 3 } else { 0 };
            asked.assert_at_most(trend.buckets.len() * trend.series.len() + largest, &format!("{request:?}"));
        }
    }
}

async fn count_others(asked: &OverWire) {
    let view = &asked.view;
    let offered = offered(view, None).await.expect("what is offered");
    let values = offered.builds.len() + offered.classifications.len() + offered.systems.len();
    asked.assert_at_most(values, "offered");
    let collectors = last_receptions(view, TimestampUs(0), None).await.expect("collectors");
    asked.assert_at_most(collectors.len() * usize::try_from(RecordId::SEQUENCE_PER_MS).expect("few"), "collectors");
    let policy = RetentionPolicy::days(5);
    let expired = expired(view, &policy, NOW, &DaySizes::default()).await.expect("what expires");
    let days = 60;
    asked.assert_at_most(expired.len() * days, "expired");
    let request = PageRequest { limit: 10, cursor: None };
    let filter = RecordFilter::default();
    records::listing(view, &filter, &request, Fields::all()).await.expect("a page");
    let last = usize::try_from(RecordId::COLLECTOR_CYCLE).expect("few");
    asked.assert_at_most(11 + last, "a page and the last record of each collector");
}

/// How many different keys records have, those without one left out.
fn distinct<K: Ord>(records: &[Arc<Record>], key: impl Fn(&Record) -> Option<K>) -> usize {
    records.iter().filter_map(|record| key(record)).collect::<BTreeSet<K>>().len()
}

/// The same of records with stacks.
fn distinct_crashes<K: Ord>(records: &[Arc<Record>], key: impl Fn(&Record, i64) -> K) -> usize {
    distinct(records, |record| {
        let stack_id = derive(&record.report).stack_id;
        (stack_id != 0).then(|| key(record, stack_id))
    })
}

async fn count_by_stack(asked: &OverWire, records: &[Arc<Record>], filter: &RecordFilter) {
    let view = &asked.view;
    let stacks = seen(view, filter, STACKS_MAX).await.expect("stacks").stacks;
    asked.assert_at_most(stacks.len(), "stacks");
    seen(view, filter, 3).await.expect("stacks");
    asked.assert_at_most(4, "three stacks, and one to see that there are more");
    let ids: Vec<i64> = stacks.iter().map(|stack| stack.stack_id).collect();
    examples(view, filter, &ids, drop).await.expect("examples");
    let classes = distinct_crashes(records, |record, stack| (stack, record.report.classification.clone()));
    asked.assert_at_most(classes, "an example of each stack and class");
    let totals = crash_totals(view, filter).await.expect("totals");
    asked.assert_at_most(totals.len(), "crashes by build and class");
    let received_from = Some(TimestampUs(NOW.0 - 7 * US_PER_DAY));
    let lately = RecordFilter { received_from, received_before: Some(NOW), ..RecordFilter::default() };
    let (book, without) = (StackBook::default(), HashSet::new());
    let causes = Causes { book: &book, filters: &Filters::default() };
    book.stacks(view, filter, &ids).await.expect("stacks");
    asked.assert_at_most(classes, "the frames of each stack");
    for (interval, length_us) in [(Interval::Hour, US_PER_HOUR), (Interval::Day, US_PER_DAY)] {
        let request = guilty::TrendRequest { filter: &lately, interval, top: 3, without: &without, only: None };
        guilty::trend(view, causes, &request, NOW).await.expect("a trend");
        let is_lately = |record: &Record| record.ts_reception < NOW && Some(record.ts_reception) >= received_from;
        let cell = |record: &Record, stack| is_lately(record).then(|| (record.ts_reception.0 / length_us, stack));
        asked.assert_at_most(distinct_crashes(records, cell), &format!("stacks by {interval:?}"));
    }
}

async fn count_by_cause(asked: &OverWire, records: &[Arc<Record>], filter: &RecordFilter) {
    let (view, book, none) = (&asked.view, StackBook::default(), Filters::default());
    let (causes, without) = (Causes { book: &book, filters: &none }, HashSet::new());
    let stacks = distinct_crashes(records, |_, stack| stack);
    frames(view, causes, filter, FRAMES_MAX).await.expect("frames");
    let classes = distinct_crashes(records, |record, stack| (stack, record.report.classification.clone()));
    asked.assert_at_most(stacks + classes, "stacks and an example of each");
    let cells = distinct_crashes(records, |Record { report, .. }, stack| {
        (report.system_name.clone(), report.build.clone(), report.classification.clone(), stack)
    });
    let found = crashes(view, causes, filter, Wanted::Largest(GUILTIES_MAX, &without)).await.expect("crashes");
    let builds: usize = found.groups.iter().map(|group| group.builds.len()).sum();
    asked.assert_at_most(cells + found.groups.len() + builds, "stacks by build and class, then guilties by build");
    let largest = &found.groups[0];
    by_stack(view, causes, filter, &largest.stack_ids, 5).await.expect("stacks");
    asked.assert_at_most(5, "stacks of a guilty");
    by_machine(view, filter, &largest.stack_ids, 5).await.expect("machines");
    asked.assert_at_most(5, "machines of a guilty");
    let strikes = guilty_strikes(view, causes, filter).await.expect("strikes");
    asked.assert_at_most(cells + strikes.len(), "stacks by build and class, then strikes");
    let edited = Filters::from_iter([(&largest.guilty.function, &largest.guilty.module)]);
    let (changes, _) = regrouped(view, &book, filter, [&none, &edited]).await.expect("a preview");
    let parts: usize = changes.iter().map(|change| change.parts.len()).sum();
    asked.assert_at_most(stacks + 2 * parts, "stacks, then the guilties that would be others, before and after");
}

async fn count_failures(asked: &OverWire, records: &[Arc<Record>], filter: &RecordFilter) {
    let view = &asked.view;
    let judged = tables(view, filter, Scope::Failures).await.expect("tables");
    let by_day = distinct(records, |Record { report, ts_reception, .. }| {
        (report.classification == HEARTBEAT).then(|| (report.build.clone(), ts_reception.day()))
    });
    let most = judged.exposures.len() + by_day + judged.strikes.len();
    asked.assert_at_most(most, "builds, builds by day, and builds by class");
    let checks = filter_of(filter);
    statuses(view, filter).await.expect("statuses");
    let is_check = |record: &Record| {
        let class = &record.report.classification;
        checks.classification.as_ref().is_some_and(|checks| checks.matches(class))
            && checks.not_classification.as_ref() != Some(class)
    };
    let status = |payload: &str| {
        let (before, _) = payload.split_once(" MCGSTATUS")?;
        before.split("STATUS ").nth(1).map(str::to_owned)
    };
    let kinds = distinct(records, |record| is_check(record).then(|| status(&record.report.payload)));
    asked.assert_at_most(kinds, "statuses of machine checks");
    let failing = machines(view, filter, 5).await.expect("machines");
    let builds: usize = failing.iter().map(|machine| machine.builds.len()).sum();
    asked.assert_at_most(5 + builds, "machines with machine checks, and their builds");
    updates(view, filter).await.expect("updates");
    let line = |payload: &str, key: &str| {
        let behind = format!("\n{payload}").split(key).nth(1).unwrap_or_default().to_owned();
        behind.split('\n').next().unwrap_or_default().to_owned()
    };
    let steps = distinct(records, |Record { report, .. }| {
        let versions = || ["\ncurrent_version=", "\nserver_version="].map(|key| line(&report.payload, key));
        (report.classification == UPDATE).then(versions)
    });
    asked.assert_at_most(steps, "versions before and after");
}

async fn count_what_is_held(asked: &OverWire, records: &[Arc<Record>]) {
    let view = &asked.view;
    let all = contents(view, i32::MIN..=i32::MAX).await.expect("contents");
    assert_eq!(all.values().map(|content| content.records).sum::<u64>(), records.len() as u64);
    asked.assert_at_most(all.len(), "contents by day and collector");
    let of_day = checksums(view, NOW.day(), RecordId::MAX).await.expect("checksums");
    asked.assert_at_most(of_day.len(), "checksums by collector");
    count_of(view, NOW.day(), &(0..=i64::MAX)).await.expect("a count");
    asked.assert_at_most(1, "records of a day");
    newest(view).await.expect("an instant");
    asked.assert_at_most(1, "the newest record");
    of_record(view, &records[0]).await.expect("attributes");
    asked.assert_at_most(1, "the attributes of a record");
    usual(view, NOW).await.expect("a system");
    asked.assert_at_most(2, "the usual system, and one to see that there are more");
}

/// A page by what is in memory.
fn expected(records: &[Arc<Record>], filter: &RecordFilter, request: &PageRequest) -> Vec<Record> {
    let passes = |record: &&Arc<Record>| {
        filter.received_before.is_none_or(|before| record.ts_reception < before)
            && filter.severities.first().is_none_or(|severity| record.report.severity == *severity)
            && filter.classification.as_ref().is_none_or(|class| class.matches(&record.report.classification))
    };
    let passing = records.iter().filter(passes).map(AsRef::as_ref);
    let page: Vec<&Record> = match &request.cursor {
        None => passing.rev().take(request.limit).collect(),
        Some(Cursor::OlderThan(id) | Cursor::Remaining { older_than: id, .. }) => {
            passing.rev().filter(|record| record.id < *id).take(request.limit).collect()
        }
        Some(Cursor::NewerThan(id)) => {
            let mut page: Vec<&Record> = passing.filter(|record| record.id > *id).take(request.limit).collect();
            page.reverse();
            page
        }
    };
    page.into_iter().cloned().collect()
}

/// Filters under which the records of a short time are many, few and none.
fn dense_and_sparse() -> Vec<RecordFilter> {
    let class = |class: &str| Some(ClassPattern::Prefix(class.to_owned()));
    let before = |us_ago: i64| Some(TimestampUs(NOW.0 - us_ago));
    vec![
        RecordFilter::default(),
        RecordFilter { received_before: before(0), ..RecordFilter::default() },
        RecordFilter { received_before: before(3 * US_PER_DAY + US_PER_HOUR / 2), ..RecordFilter::default() },
        RecordFilter { received_before: before(80 * US_PER_DAY), ..RecordFilter::default() },
        RecordFilter { severities: vec![3], ..RecordFilter::default() },
        RecordFilter { classification: class("org.clearlinux/crash/"), ..RecordFilter::default() },
        RecordFilter { classification: class("org.clearlinux/mce/S"), ..RecordFilter::default() },
    ]
}

/// Whether the newest hour has a whole page, or a longer time, or all have to be asked: it is the same page.
#[test]
fn a_page_is_the_same_however_often_it_was_looked_for() {
    let stores = Stores::shared();
    let views = stores.all();
    let asked = stores.block_on(OverWire::of(stores));
    let place = |part: usize| stores.records[stores.records.len() - stores.records.len() / part].id;
    let cursors = [
        None,
        Some(Cursor::OlderThan(place(3))),
        Some(Cursor::Remaining { older_than: place(2), seen: Seen::new(place(2), vec![]) }),
        Some(Cursor::OlderThan(stores.records[400].id)),
        Some(Cursor::NewerThan(place(3))),
    ];
    let mut attempts = BTreeSet::new();
    for filter in dense_and_sparse() {
        for (cursor, limit) in cursors.iter().flat_map(|cursor| [1, 30, 300].map(|limit| (cursor, limit))) {
            let request = PageRequest { limit, cursor: cursor.clone() };
            let records = expected(&stores.records, &filter, &request);
            let found = stores.block_on(records::page(&asked.view, &filter, &request)).expect("a page").records;
            assert!(found == records, "ClickHouse: {filter:?} {request:?}");
            let found = views.block_on(records::page(&views.embedded, &filter, &request)).expect("a page").records;
            assert!(found == records, "embedded: {filter:?} {request:?}");
            attempts.insert(asked.wire.rows().len());
        }
    }
    assert_eq!(attempts, BTreeSet::from([1, 2, 3]));
}
