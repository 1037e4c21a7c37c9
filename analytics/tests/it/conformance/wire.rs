//! What crosses the wire: of an aggregation the groups, never the records that they were made of.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::collectors::last_receptions;
use telemetrics_analytics::questions::counts::{GROUPS_MAX, counts};
use telemetrics_analytics::questions::expired::expired;
use telemetrics_analytics::questions::keys::Dimension;
use telemetrics_analytics::questions::offered::offered;
use telemetrics_analytics::questions::population::population;
use telemetrics_analytics::questions::records::{self, PageRequest};
use telemetrics_analytics::questions::trends::{Interval, TrendRequest, trend};
use telemetrics_analytics::sizes::DaySizes;
use telemetrics_analytics::{Analytics, Limits, View};
use telemetrics_schema::answer::Fields;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{RecordId, TimestampUs};
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
