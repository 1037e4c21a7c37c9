//! One batch through its worker, on this thread.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::encoding::Encoding;
use super::super::form::Form;
use super::super::fuzzing::Decoded;
use super::super::received::{Received, Stop};
use super::work::{self, Chunk, Done, Job, Limits};

/// Small, so that the fuzzer gets beyond them.
const LIMITS: Limits = Limits { batch_bytes: 16 << 10, record_bytes: 1 << 10 };

pub(in super::super) fn decoded(form: Form, encoding: Encoding, parts: &[&[u8]]) -> Decoded {
    let job = Job { form, encoding, external: false, rules: Arc::default(), limits: LIMITS };
    // No more chunks than lines.
    let (sender, mut chunks) = mpsc::channel(LIMITS.lines() + 1);
    let stop = match work::run(&job, Received::whole(parts), sender) {
        Done::Batch(outcome) => outcome.err(),
        Done::Record(_) => None,
    };
    let mut decoded = Decoded { reports: Vec::new(), rejected: Vec::new(), stop: stop.as_ref().map(Stop::to_string) };
    while let Ok(Chunk { reports, lines, rejected, .. }) = chunks.try_recv() {
        decoded.reports.extend(lines.into_iter().zip(reports));
        decoded.rejected.extend(rejected.into_iter().map(|rejected| (rejected.line, rejected.errors.len())));
    }
    decoded
}
