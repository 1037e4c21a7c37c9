//! Many questions at once: each has its turn, and the memory that it needs.

use futures::future::join_all;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::crash_rate::{Scope, tables};

use super::stores::Stores;

/// Enough for one question, and not for several at once.
const MEMORY_BYTES: usize = 4 << 20;
const QUESTIONS: usize = 100;

#[test]
fn many_questions_at_once_are_answered() {
    let stores = Stores::shared();
    let (view, filter) = (stores.embedded_within(MEMORY_BYTES), RecordFilter::default());
    let answers = stores.block_on(join_all((0..QUESTIONS).map(|_| tables(&view, &filter, Scope::Failures))));
    let first = answers[0].as_ref().expect("an answer");
    for answer in &answers {
        assert_eq!(answer.as_ref().expect("an answer"), first);
    }
}
