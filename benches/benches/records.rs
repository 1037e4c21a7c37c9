//! What one record costs on its way, piece by piece.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use telemetrics_benches::requests::{Generation, REQUEST_BYTES, Requests, parts};
use telemetrics_collector::journal::{Ids, Journal, JournalSettings};
use telemetrics_schema::batch::to_batch;
use telemetrics_schema::payload;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::Clock;
use telemetrics_schema::wire::{self, Rules};
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, codec};
use telemetrics_web::clock::SystemClock;

/// Records of a batch in memory.
const BATCH_RECORDS: usize = 4_096;
/// Records that share a sync under the usual load.
const GROUP_RECORDS: usize = 64;

fn request(requests: &Requests) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    requests.next(&mut request);
    request
}

fn reports(count: usize) -> Vec<Report> {
    let (requests, rules) = (Requests::new(Generation::V3, 1), Rules::default());
    let report = |_| {
        let request = request(&requests);
        wire::decode(&parts(&request).expect("a request"), &rules).expect("a record")
    };
    (0..count).map(report).collect()
}

fn records(count: usize) -> Vec<Record> {
    let ts_reception = SystemClock.now();
    let named = |(id, report)| Record { id: RecordId(id), ts_reception, report };
    (1..).zip(reports(count)).map(named).collect()
}

fn decode(criterion: &mut Criterion) {
    let rules = Rules::default();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, generation) in [("v2", Generation::V2), ("v3", Generation::V3)] {
        let request = request(&Requests::new(generation, 1));
        let parts = parts(&request).expect("a request");
        group.bench_function(name, |bencher| bencher.iter(|| wire::decode(black_box(&parts), &rules)));
    }
    group.finish();
}

/// What the drain asks of every payload, and what pages ask of some.
fn payloads(criterion: &mut Criterion) {
    let crash = reports(1).remove(0);
    let heartbeat = Report { classification: "org.clearlinux/heartbeat/ping".to_owned(), ..crash.clone() };
    let mut group = criterion.benchmark_group("payload");
    group.throughput(Throughput::Elements(1));
    group.bench_function("derive of a crash", |bencher| bencher.iter(|| payload::derive(black_box(&crash))));
    group.bench_function("derive of a heartbeat", |bencher| bencher.iter(|| payload::derive(black_box(&heartbeat))));
    group.bench_function("backtrace of a crash", |bencher| bencher.iter(|| payload::backtrace(black_box(&crash))));
    for (name, symbol) in [("C++", "_ZN6quartz6Buffer5flushERKNS_7SegmentE()"), ("C", "quartz_buffer_flush()")] {
        group.bench_function(format!("shown name of {name}"), |bencher| {
            bencher.iter(|| payload::shown_name(black_box(symbol)));
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let records = records(1);
    let mut out = Vec::new();
    criterion.bench_function("encode a record for the journal", |bencher| {
        bencher.iter(|| {
            out.clear();
            codec::encode(black_box(&records[0]), &mut out);
            out.len()
        });
    });
}

fn batch(criterion: &mut Criterion) {
    let records = records(BATCH_RECORDS);
    let mut group = criterion.benchmark_group("to_batch");
    group.throughput(Throughput::Elements(BATCH_RECORDS as u64));
    group.bench_function("4096 records", |bencher| bencher.iter(|| to_batch(black_box(&records))));
    group.finish();
}

/// A group on real files; what was written before is confirmed, as the drain does it, so that the journal stays small.
fn commit(criterion: &mut Criterion) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let (recent, reports) = (Recent::default(), reports(GROUP_RECORDS));
    let ids = Ids { collector: CollectorNumber::default(), above: None };
    let settings = JournalSettings::new(directory.path());
    let (journal, _) = Journal::open(&settings, Arc::new(SystemClock), ids, recent.clone()).expect("a journal");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let append = |reports| {
        let records = runtime.block_on(journal.append_many(reports)).expect("durable");
        records.last().map(|record| record.id)
    };
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(GROUP_RECORDS as u64));
    group.bench_function("64 records", |bencher| {
        let fresh = || {
            if let Some(last) = recent.last_id() {
                runtime.block_on(journal.confirm(last)).expect("confirmed");
                recent.release(last);
            }
            reports.clone()
        };
        bencher.iter_batched(fresh, append, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, decode, payloads, encode, batch, commit);
criterion_main!(benches);
