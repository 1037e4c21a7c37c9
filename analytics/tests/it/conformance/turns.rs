//! Many questions at once: each has its turn, the memory that it needs, and room on the disk within a limit.

use futures::future::join_all;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::crash_rate::{Scope, tables};
use telemetrics_analytics::questions::records::{PageRequest, page};
use telemetrics_analytics::{Error, Limits};

use super::stores::Stores;

/// Enough for one question, and not for several at once.
const MEMORY_BYTES: usize = 4 << 20;
const QUESTIONS: usize = 100;
/// Enough for one page of records, and not for several at once.
const PAGE_MEMORY_BYTES: usize = 16 << 20;
const PAGE_RECORDS: usize = 5_000;
const PAGES: usize = 20;
/// So little that a question has to spill.
const SPILLING_BYTES: usize = 3 << 19;

fn within(memory_bytes: usize) -> Limits {
    Limits { memory_bytes, ..Limits::without_retention() }
}

#[test]
fn many_questions_at_once_are_answered() {
    let stores = Stores::shared();
    let (view, filter) = (stores.embedded_within(within(MEMORY_BYTES)), RecordFilter::default());
    let answers = stores.block_on(join_all((0..QUESTIONS).map(|_| tables(&view, &filter, Scope::Failures))));
    let first = answers[0].as_ref().expect("an answer");
    for answer in &answers {
        assert_eq!(answer.as_ref().expect("an answer"), first);
    }
}

#[test]
fn many_pages_at_once_are_answered() {
    let stores = Stores::shared();
    let (view, filter) = (stores.embedded_within(within(PAGE_MEMORY_BYTES)), RecordFilter::default());
    let request = PageRequest { limit: PAGE_RECORDS, cursor: None };
    let pages = stores.block_on(join_all((0..PAGES).map(|_| page(&view, &filter, &request))));
    for page in pages {
        assert_eq!(page.expect("a page").records.len(), PAGE_RECORDS);
    }
}

#[test]
fn what_lacks_memory_is_put_aside_within_a_limit() {
    let stores = Stores::shared();
    let directory = tempfile::tempdir().expect("a directory");
    let limits = |spilled_bytes| {
        let spill_dir = Some(directory.path().to_owned());
        Limits { spilled_bytes, spill_dir, ..within(SPILLING_BYTES) }
    };
    let filter = RecordFilter::default();
    let ask = |limits| {
        let view = stores.embedded_within(limits);
        stores.block_on(tables(&view, &filter, Scope::Failures))
    };
    let answer = ask(limits(u64::MAX)).expect("an answer");
    assert_eq!(answer, ask(within(MEMORY_BYTES)).expect("an answer"));
    let refused = ask(limits(1)).err();
    assert!(matches!(refused, Some(Error::TooMuch(_))), "{refused:?}");
}
