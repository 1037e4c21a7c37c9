//! The columns of a record that are made of its payload.

use super::backtrace::FRAMES_PER_THREAD;
use super::hash::PairHasher;
use super::is_crash_class;
use super::lines::{Line, lines};
use crate::record::Report;

/// Longest process that is kept, in bytes: no path is longer.
pub const PROCESS_LIMIT_BYTES: usize = 4_096;
/// Longest reason that is kept, in bytes: a line of the kernel's log is not longer.
pub const REASON_LIMIT_BYTES: usize = 1_024;

/// The columns of a record that are made of its payload; of a payload that fits no grammar, the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Derived {
    /// Hash of the frames of the first thread that has any, 1 to 2^53 - 1, the same everywhere and for ever; 0 without.
    pub stack_id: i64,
    /// Path of the program that crashed, empty without.
    pub process: String,
    /// Number of the signal that ended it, 0 without.
    pub signal: i32,
    /// What the kernel gave as its reason, empty without.
    pub reason: String,
    /// What parsers made of the record, as [`crate::attributes::Attributes::to_text`] writes it; empty without.
    pub attributes: String,
}

/// What is derived from the payload of a report; it never fails, and takes time in proportion to the payload's length.
///
/// It says what [`super::Backtrace`] says, without keeping any frame: every record goes through here. Attributes are not
/// made here, but by [`crate::attributes::derive_all`].
#[must_use]
pub fn derive(report: &Report) -> Derived {
    if !is_crash_class(&report.classification) {
        return Derived::default();
    }
    let (mut head, mut stack) = (Head::default(), Stack::default());
    for line in lines(&report.payload) {
        match line {
            Line::Process(process) => head.process = head.process.or(Some(process)),
            Line::Signal(signal) => head.signal = head.signal.or(Some(signal)),
            Line::Reason(reason) => head.reason = head.reason.or(Some(reason)),
            Line::Thread(_) => stack.end_thread(),
            Line::Frame(frame) => stack.add(frame.function, frame.module),
            _ => {}
        }
    }
    Derived {
        stack_id: stack.id(),
        process: kept(head.process, PROCESS_LIMIT_BYTES),
        signal: head.signal.unwrap_or_default(),
        reason: kept(head.reason, REASON_LIMIT_BYTES),
        attributes: String::new(),
    }
}

#[derive(Default)]
struct Head<'a> {
    process: Option<&'a str>,
    signal: Option<i32>,
    reason: Option<&'a str>,
}

fn kept(text: Option<&str>, limit_bytes: usize) -> String {
    let text = text.unwrap_or_default();
    text[..text.floor_char_boundary(limit_bytes)].to_owned()
}

/// The hash of the first thread that has frames.
struct Stack {
    hasher: PairHasher,
    frames: usize,
    is_over: bool,
}

impl Default for Stack {
    fn default() -> Self {
        Self { hasher: PairHasher::of_stack(), frames: 0, is_over: false }
    }
}

impl Stack {
    fn end_thread(&mut self) {
        self.is_over = self.frames > 0;
    }

    fn add(&mut self, function: &str, module: &str) {
        if !self.is_over && self.frames < FRAMES_PER_THREAD {
            self.hasher.write(function, module);
            self.frames += 1;
        }
    }

    fn id(&self) -> i64 {
        if self.frames == 0 { 0 } else { self.hasher.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Backtrace, CRASH_CLASSES, scan, stack_id};
    use super::*;

    fn report(classification: &str, payload: &str) -> Report {
        Report { classification: classification.to_owned(), payload: payload.to_owned(), ..Report::default() }
    }

    const CRASH: &str = "Process: /usr/bin/a\nPID: 7\nSignal: 6\n\nBacktrace (TID 7):\n#0 f() - [/a]\n\nBacktrace (TID 8):\n#0 g() - [/a]\n";

    #[test]
    fn a_crash_has_all_but_a_reason() {
        let frames = Backtrace::parse("#9 f() - [/a] - other.c:1").expect("a frame").stack().to_vec();
        let expected =
            Derived { stack_id: stack_id(&frames), process: "/usr/bin/a".into(), signal: 6, ..Derived::default() };
        assert_eq!(derive(&report("org.clearlinux/crash/clr", CRASH)), expected);
    }

    #[test]
    fn a_kernel_report_has_a_stack_and_a_reason() {
        let derived = derive(&report("crash/kernel/bug", "Reason: BUG: bad\nBacktrace :\n#1 ? f - [kernel]\n"));
        assert!(derived.stack_id > 0);
        assert_eq!((derived.reason.as_str(), derived.signal, derived.process.as_str()), ("BUG: bad", 0, ""));
    }

    #[test]
    fn only_classes_with_backtraces_are_looked_into() {
        for class in CRASH_CLASSES {
            assert_ne!(derive(&report(class, CRASH)), Derived::default(), "{class}");
        }
        for class in [
            "",
            "org.clearlinux/heartbeat/ping",
            "org.clearlinux/crash/clr2",
            "crash/clr",
            "org.clearlinux/crash/kernel/bug",
        ] {
            assert_eq!(derive(&report(class, CRASH)), Derived::default(), "{class}");
        }
        for class in CRASH_CLASSES {
            assert_eq!(derive(&report(class, "Crash from third party\n")), Derived::default(), "{class}");
        }
    }

    #[test]
    fn frames_beyond_those_that_are_kept_are_no_part_of_the_stack() {
        let frame = |number: usize| format!("#{number} f{number}() - [/a]\n");
        let of = |count: usize| derive(&report(CRASH_CLASSES[0], &(0..count).map(frame).collect::<String>())).stack_id;
        assert_ne!(of(FRAMES_PER_THREAD - 1), of(FRAMES_PER_THREAD));
        assert_eq!(of(FRAMES_PER_THREAD), of(FRAMES_PER_THREAD + 1));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(PROCESS_LIMIT_BYTES);
        let derived = derive(&report(CRASH_CLASSES[0], &format!("Process: a{long}\nReason: {long}")));
        assert_eq!((derived.process.len(), derived.reason.len()), (PROCESS_LIMIT_BYTES - 1, REASON_LIMIT_BYTES));
    }

    #[test]
    fn a_megabyte_of_frames_is_read_once_and_other_records_not_at_all() {
        for line in ["#0 ", "#0 \n", "#0 f() - [/a]\n", "Backtrace (TID 1):\n"] {
            let payload = line.repeat((1 << 20) / line.len());
            let crash = report(CRASH_CLASSES[0], &payload);
            let work = scan::work(|| drop(derive(&crash)));
            assert!((payload.len()..6 * payload.len()).contains(&work), "{line:?}: {work}");
        }
        let heartbeat = report("org.clearlinux/heartbeat/ping", &"#0 \n".repeat(1 << 18));
        assert_eq!(scan::work(|| drop(derive(&heartbeat))), 0);
    }
}
