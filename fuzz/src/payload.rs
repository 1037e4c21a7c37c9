//! Payloads of crashes: the parser that shows frames and the one on the way in say the same.

use telemetrics_schema::Report;
use telemetrics_schema::payload::{
    CRASH_CLASSES, FRAMES_PER_THREAD, Filters, THREADS, backtrace, derive, guilty, shown_name, stack_id,
};

/// The payload of a crash.
///
/// # Panics
/// When what the parsers say does not hold together.
pub fn payload(bytes: &[u8]) {
    let payload = String::from_utf8_lossy(bytes).into_owned();
    let classification = CRASH_CLASSES[0].to_owned();
    let report = Report { classification, payload, ..Report::default() };
    let derived = derive(&report);
    let Some(parsed) = backtrace(&report) else {
        return assert_eq!(derived, derive(&Report::default()), "columns out of no backtrace");
    };
    assert!(parsed.threads.len() <= THREADS, "{} threads", parsed.threads.len());
    assert!(parsed.threads.iter().all(|thread| thread.frames.len() <= FRAMES_PER_THREAD), "too many frames");
    let frames = parsed.stack();
    let expected = if frames.is_empty() { 0 } else { stack_id(frames) };
    assert_eq!(derived.stack_id, expected, "two identities of one stack");
    let guilty = guilty(frames, &Filters::default());
    assert_eq!(guilty.is_some(), !frames.is_empty(), "a stack has a guilty frame");
    for frame in frames {
        let shown = shown_name(frame.function);
        assert!(!shown.contains('\n'), "a name of several lines");
    }
}
