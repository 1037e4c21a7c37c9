//! What is read from the payloads of real clients and of the generator.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use telemetrics_schema::Report;
use telemetrics_schema::payload::{
    Backtrace, Filters, Frame, Thread, backtrace, derive, guilty, is_crash_class, shown_name,
};

use crate::captures;

/// Captured requests of classes whose payloads are looked into: fewer would mean that the test reads the wrong place.
const CRASH_CAPTURES: usize = 48;

/// All of the parsed form, of the derived columns and of the guilty, in lines.
fn outline(report: &Report) -> String {
    let mut text = format!("{}\n{:?}\n", report.classification, derive(report));
    match backtrace(report) {
        None => text.push_str("fits no grammar\n"),
        Some(backtrace) => write_backtrace(&backtrace, &mut text),
    }
    text
}

fn write_backtrace(backtrace: &Backtrace<'_>, text: &mut String) {
    let Backtrace { process, pid, signal, error, is_truncated, reason, .. } = backtrace;
    let Backtrace { kernel_version, taint, modules, registers, threads, left_out, .. } = backtrace;
    let _ =
        writeln!(text, "process {process:?} pid {pid:?} signal {signal:?} error {error:?} truncated {is_truncated}");
    let _ = writeln!(text, "reason {reason:?} kernel {kernel_version:?} taint {taint:?}\nmodules {modules:?}");
    let _ = writeln!(text, "registers {registers:?} left out {left_out}");
    for Thread { tid, frames, left_out } in threads {
        let _ = writeln!(text, "thread {tid:?} left out {left_out}");
        for frame in frames {
            write_frame(frame, text);
        }
    }
    match guilty(backtrace.stack(), &Filters::default()) {
        None => text.push_str("no guilty\n"),
        Some(guilty) => {
            let _ = writeln!(text, "guilty {} {guilty:?}", guilty.id());
        }
    }
}

fn write_frame(frame: &Frame<'_>, text: &mut String) {
    let Frame { number, function, module, source } = frame;
    let _ = write!(text, "  {number} | {} | {module} |", shown_name(function));
    if let Some(source) = source {
        let _ = write!(text, " {} line {:?}", source.file, source.line);
    }
    let _ = writeln!(text, "{}", if frame.is_unsure() { " unsure" } else { "" });
}

#[test]
fn every_captured_crash_is_read() {
    let mut captures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, report) in captures::reports() {
        if is_crash_class(&report.classification) {
            captures.entry(outline(&report)).or_default().push(name);
        }
    }
    assert_eq!(captures.values().map(Vec::len).sum::<usize>(), CRASH_CAPTURES);
    let groups = captures.iter().map(|(outline, names)| format!("== {}\n{outline}", names.join(" ")));
    insta::assert_snapshot!(groups.collect::<String>());
}

#[test]
fn nothing_is_derived_from_other_captures() {
    let others: Vec<_> =
        captures::reports().into_iter().filter(|(_, report)| !is_crash_class(&report.classification)).collect();
    assert!(!others.is_empty());
    for (name, report) in others {
        assert_eq!((derive(&report), backtrace(&report)), (<_>::default(), None), "{name}");
    }
}
