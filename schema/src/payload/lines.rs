//! A payload line by line: the grammars of crash probe and kernel probes, of which none needs more than one line.

use super::frame::Frame;
use super::scan::{cut, number, trim, trim_end, trim_start};

/// What one line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Process(&'a str),
    Pid(u32),
    Signal(i32),
    Error(&'a str),
    Truncated,
    Reason(&'a str),
    KernelVersion(&'a str),
    Taint(&'a str),
    Modules(&'a str),
    Register {
        name: &'a str,
        value: &'a str,
    },
    /// A thread begins, with its id where there is one.
    Thread(Option<u32>),
    Frame(Frame<'a>),
}

/// The lines of a payload that say something, in their order.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut rest = Some(text);
    let every_line = std::iter::from_fn(move || {
        let text = rest?;
        let (line, behind) = cut(text, '\n').map_or((text, None), |(line, behind)| (line, Some(behind)));
        rest = behind;
        Some(line)
    });
    every_line.filter_map(read)
}

fn read(line: &str) -> Option<Line<'_>> {
    /// The crash probe stopped at its limit of frames.
    const TRUNCATED: &str = "Too many frames.";
    let line = trim(line);
    if let Some(frame) = line.strip_prefix('#') {
        return Frame::parse(frame).map(Line::Frame);
    }
    if let Some(rest) = line.strip_prefix("Backtrace") {
        return thread(trim(rest));
    }
    if line.starts_with(TRUNCATED) {
        return Some(Line::Truncated);
    }
    let (key, value) = cut(line, ':')?;
    Some((trim_end(key), trim_start(value)))
        .filter(|(_, value)| !value.is_empty())
        .and_then(|(key, value)| field(key, value))
}

/// `(TID 7):` or `:`.
fn thread(rest: &str) -> Option<Line<'_>> {
    match rest.strip_prefix('(') {
        Some(within) => {
            Some(Line::Thread(trim_start(within).strip_prefix("TID").and_then(|tid| number(trim_start(tid)))))
        }
        None => (rest == ":" || rest.is_empty()).then_some(Line::Thread(None)),
    }
}

fn field<'a>(key: &'a str, value: &'a str) -> Option<Line<'a>> {
    Some(match key {
        "Process" => Line::Process(value),
        "PID" => Line::Pid(number(value)?),
        "Signal" => Line::Signal(number(value)?.try_into().ok()?),
        "Error" => Line::Error(value),
        "Reason" => Line::Reason(value),
        "Kernel Version" => Line::KernelVersion(value),
        "Tainted" => Line::Taint(value),
        "Modules" => Line::Modules(value),
        _ => Line::Register { name: trim(key.strip_prefix("Register ")?), value },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Option<Line<'_>> {
        let mut all = lines(text);
        let first = all.next();
        assert_eq!(all.next(), None, "{text}");
        first
    }

    #[test]
    fn every_line_of_both_grammars_is_read() {
        let cases = [
            ("Process: /usr/bin/name", Line::Process("/usr/bin/name")),
            ("PID: 14837", Line::Pid(14_837)),
            ("Signal: 11", Line::Signal(11)),
            ("Error: no: symbols", Line::Error("no: symbols")),
            ("Too many frames. Backtrace truncated.", Line::Truncated),
            ("Backtrace (TID 14837):", Line::Thread(Some(14_837))),
            ("Backtrace :", Line::Thread(None)),
            ("Reason: WARNING: CPU: 4 PID: 0", Line::Reason("WARNING: CPU: 4 PID: 0")),
            ("Kernel Version : 3.18.2 #12", Line::KernelVersion("3.18.2 #12")),
            ("Tainted : G        W", Line::Taint("G        W")),
            ("Modules : isofs btrfs", Line::Modules("isofs btrfs")),
            ("Register RIP: Non-zero", Line::Register { name: "RIP", value: "Non-zero" }),
        ];
        for (text, expected) in cases {
            assert_eq!(only(text), Some(expected));
            assert_eq!(only(&format!("\0 {text} \r\n")), Some(expected));
        }
    }

    #[test]
    fn odd_spaces_and_missing_parts_change_little() {
        let cases = [
            ("Process:/a", Some(Line::Process("/a"))),
            ("Kernel Version:3.1", Some(Line::KernelVersion("3.1"))),
            ("  Signal  :\t11 (SIGSEGV)", Some(Line::Signal(11))),
            ("Backtrace(TID 7", Some(Line::Thread(Some(7)))),
            ("Backtrace ( TID  7 ) :", Some(Line::Thread(Some(7)))),
            ("Backtrace (TID many):", Some(Line::Thread(None))),
            ("Backtrace", Some(Line::Thread(None))),
            ("Backtrace of all", None),
            ("Process:", None),
            ("PID: self", None),
            ("Signal: -11", None),
            ("Signal: 3000000000", None),
            ("Register : 1", None),
            ("Crash Report:", None),
            ("process: /a", None),
            ("hello", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(only(text), expected, "{text}");
        }
    }
}
