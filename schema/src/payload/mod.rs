//! Payloads: what their texts say about a crash, and the columns that are derived from them.
//!
//! Nothing here fails: what does not fit a grammar is text, and nothing is derived from it.

mod backtrace;
mod demangle;
mod derive;
mod frame;
mod guilty;
mod hash;
mod lines;
mod scan;
mod signal;

pub use backtrace::{Backtrace, FRAMES_PER_THREAD, REGISTERS, Register, THREADS, Thread};
pub use demangle::{NAME_LIMIT_BYTES, SYMBOL_LIMIT_BYTES, shown_name};
pub use derive::{Derived, PROCESS_LIMIT_BYTES, REASON_LIMIT_BYTES, derive};
pub use frame::{Frame, Source, is_known};
pub use guilty::{Filters, Guilty, Why, guilty, guilty_of, is_always_filtered};
pub use hash::{guilty_id, stack_id};
pub use signal::signal_name;

use crate::record::Report;

/// The classifications whose payloads are looked into.
pub const CRASH_CLASSES: [&str; 10] = [
    "org.clearlinux/crash/clr",
    "org.clearlinux/crash/error",
    "org.clearlinux/crash/unknown",
    "org.clearlinux/crash/clr-build",
    "org.clearlinux/kernel/bug",
    "org.clearlinux/kernel/warning",
    "org.clearlinux/kernel/stackoverflow",
    "org.clearlinux/kernel/panic",
    "crash/kernel/bug",
    "crash/kernel/warning",
];

/// Whether payloads of this classification are looked into.
#[must_use]
pub fn is_crash_class(classification: &str) -> bool {
    CRASH_CLASSES.contains(&classification)
}

/// What the payload of a report says; `None` where its class has no backtraces, or no line fits their grammars.
#[must_use]
pub fn backtrace(report: &Report) -> Option<Backtrace<'_>> {
    is_crash_class(&report.classification).then(|| Backtrace::parse(&report.payload)).flatten()
}
