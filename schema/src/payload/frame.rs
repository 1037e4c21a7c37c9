//! One frame of a backtrace: `#N function - [module] - file:line`.

use super::scan::{cut, digits, is_blank, looked_at, trim, trim_end, trim_start};

/// What the crash probe writes for a function that it has no name for.
const UNKNOWN: &str = "???";
/// What the crash probe writes in place of function and module where it knows neither.
const NO_SYMBOLS: &str = "(no symbols)";

/// One frame, as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The number that the probe gave it; nothing says that numbers follow each other.
    pub number: u32,
    /// Name of the function, mangled where its language mangles, with `()` behind it or `? ` before it where the probe
    /// wrote that; empty where there is none.
    pub function: &'a str,
    /// Path or name of the program, library or kernel module; empty where there is none.
    pub module: &'a str,
    /// Where in the source, if the probe knew it.
    pub source: Option<Source<'a>>,
}

/// A place in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// Path of the file as the compiler noted it.
    pub file: &'a str,
    /// Number of the line, if there is one.
    pub line: Option<u32>,
}

impl Frame<'_> {
    /// Whether the unwinder was not sure that this function was called (`? ` before its name).
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        is_unsure(self.function)
    }

    /// Whether it says which function it is in.
    #[must_use]
    pub fn is_known(&self) -> bool {
        is_known(self.function)
    }
}

/// Whether a function, as sent or as shown, is one that somebody can look for: it has a name, and the unwinder was sure.
#[must_use]
pub fn is_known(function: &str) -> bool {
    let name = function.strip_suffix("()").unwrap_or(function);
    !name.is_empty() && name != UNKNOWN && name != NO_SYMBOLS && !is_unsure(name)
}

fn is_unsure(function: &str) -> bool {
    function.strip_prefix('?').is_some_and(begins_blank)
}

impl<'a> Frame<'a> {
    /// The frame that stands behind the `#` of a line; `None` where nothing follows the number.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (number, rest) = digits(text);
        let number = number.parse().ok()?;
        let rest = begins_blank(rest).then(|| trim(rest)).filter(|rest| !rest.is_empty())?;
        let (function, behind) = function(rest);
        let (module, behind) = module(behind);
        Some(Self { number, function, module, source: source(behind) })
    }
}

fn begins_blank(text: &str) -> bool {
    text.bytes().next().is_some_and(is_blank)
}

fn ends_blank(text: &str) -> bool {
    text.bytes().next_back().is_some_and(is_blank)
}

/// The function, and what is behind ` - [`. Names have brackets of their own: `operator[]`, `name[abi:cxx11]`.
fn function(text: &str) -> (&str, &str) {
    let mut from = 0;
    while let Some((before, behind)) = cut(&text[from..], '[') {
        let open = from + before.len();
        if let Some(name) = trim_end(&text[..open]).strip_suffix('-')
            && (name.is_empty() || ends_blank(name))
        {
            return (trim_end(name), behind);
        }
        from = open + 1;
    }
    (text, "")
}

/// The module, and what is behind `] - `. Paths have brackets of their own; of a line that was cut, what is there.
fn module(text: &str) -> (&str, &str) {
    let mut first = None;
    let mut from = 0;
    while let Some((before, behind)) = cut(&text[from..], ']') {
        let close = from + before.len();
        let behind = trim_start(behind);
        match behind.strip_prefix('-') {
            Some(source) if begins_blank(source) => return (trim(&text[..close]), source),
            _ if behind.is_empty() => return (trim(&text[..close]), ""),
            _ => first = first.or(Some(close)),
        }
        from = close + 1;
    }
    (trim(&text[..first.unwrap_or(text.len())]), "")
}

fn source(text: &str) -> Option<Source<'_>> {
    let text = trim(text);
    looked_at(text.len());
    let with_line = text.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    let source = match with_line {
        Some((file, line)) => Source { file, line: Some(line) },
        None => Source { file: text, line: None },
    };
    (!source.file.is_empty()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file and the number of a line.
    type Place<'a> = Option<(&'a str, Option<u32>)>;

    fn parsed(line: &str) -> Option<(u32, &str, &str, Place<'_>)> {
        let frame = Frame::parse(line.strip_prefix('#').expect("a frame"))?;
        let source = frame.source.map(|source| (source.file, source.line));
        Some((frame.number, frame.function, frame.module, source))
    }

    #[test]
    fn frames_are_read_as_probes_write_them() {
        let source = |file, line| Some((file, Some(line)));
        let cases = [
            ("#0 deref() - [/opt/x] - crash/crasher.c:6", (0, "deref()", "/opt/x", source("crash/crasher.c", 6))),
            ("#1 ??? - [/usr/lib64/libfoo.so.1]", (1, "???", "/usr/lib64/libfoo.so.1", None)),
            ("#2 (no symbols)", (2, "(no symbols)", "", None)),
            ("#3 ? vsnprintf - [kernel]", (3, "? vsnprintf", "kernel", None)),
            ("#11 ======================= - [kernel]", (11, "=======================", "kernel", None)),
            (
                "#4 f@@V_2.34() - [libc.so.6] - ../csu/a.c:360",
                (4, "f@@V_2.34()", "libc.so.6", source("../csu/a.c", 360)),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(parsed(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn of_odd_frames_what_can_be_read_is_kept() {
        let cases = [
            ("#0\tf()  -   [ /a ]\t-  b.c:7 \r", (0, "f()", "/a", Some(("b.c", Some(7))))),
            ("#0 f()", (0, "f()", "", None)),
            ("#0 - [/a]", (0, "", "/a", None)),
            ("#0 f() - [/usr/lib64/libfo", (0, "f()", "/usr/lib64/libfo", None)),
            ("#0 f() - [kernel] and more", (0, "f()", "kernel", None)),
            ("#0 f() - [/a] - b.c", (0, "f()", "/a", Some(("b.c", None)))),
            ("#0 f() - [/a] - b.c:99999999999", (0, "f()", "/a", Some(("b.c:99999999999", None)))),
            ("#0 f() - [/a] - :7", (0, "f()", "/a", None)),
            ("#0 f() - [/a] -", (0, "f()", "/a", None)),
            ("#0 f() - []", (0, "f()", "", None)),
            ("#0 f - g() - h.c:3", (0, "f - g() - h.c:3", "", None)),
            (
                "#0 operator[][abi:cxx11]() - [/a[1]/b] - c[2].c:1",
                (0, "operator[][abi:cxx11]()", "/a[1]/b", Some(("c[2].c", Some(1)))),
            ),
            ("#4294967295 é() - [ß]", (u32::MAX, "é()", "ß", None)),
        ];
        for (line, expected) in cases {
            assert_eq!(parsed(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn without_a_number_and_something_behind_it_there_is_no_frame() {
        for line in ["#", "#0", "#0 ", "#0 \0\r", "#f()", "# 0 f()", "#0f()", "#4294967296 f()", "#-1 f()"] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    #[test]
    fn known_is_what_has_a_name() {
        for function in ["main()", "dump_stack", "?foo", "????", "_ZN1aC2Ev()"] {
            assert!(is_known(function), "{function}");
        }
        for function in ["", "()", "???", "???()", "(no symbols)", "? dump_stack", "?  f", "?\tf"] {
            assert!(!is_known(function), "{function}");
        }
    }
}
