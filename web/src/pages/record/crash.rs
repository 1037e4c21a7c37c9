//! The payload of a crash as the page Record shows it: what it says, and its frames by thread with the guilty one marked.

use telemetrics_schema::Report;
use telemetrics_schema::payload::{self, Backtrace, Filters, Guilty, Thread, shown_name, signal_name};

use super::room::Room;
use crate::pages::crashes::filter_address;
use crate::pages::text;

/// Most HTML of all frames together, in bytes: a crash has at most some dozen frames, and a page has a limit.
const FRAMES_HTML_BYTES: usize = 40_000;
/// Longest name of a function, in characters.
const NAME_CHARS: usize = 300;
/// Longest module or file, in characters.
const PATH_CHARS: usize = 200;
/// Longest of the other texts, in characters.
const FACT_CHARS: usize = 240;

/// What a payload says about a crash.
#[derive(Debug, Clone)]
pub(super) struct Crash {
    pub(super) facts: Vec<Fact>,
    pub(super) guilty: Option<Chosen>,
    pub(super) threads: Vec<ThreadTable>,
    /// How many frames, threads and registers are only in the payload.
    pub(super) left_out: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// The guilty frame and why it is that one.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) function: String,
    pub(super) module: String,
    pub(super) why: &'static str,
}

#[derive(Debug, Clone)]
pub(super) struct ThreadTable {
    pub(super) name: String,
    /// Whether it is the one that crashed.
    pub(super) is_stack: bool,
    pub(super) frames: Vec<FrameRow>,
}

#[derive(Debug, Clone)]
pub(super) struct FrameRow {
    pub(super) number: u32,
    pub(super) function: String,
    /// The name as sent, where that is another one.
    pub(super) symbol: Option<String>,
    pub(super) module: String,
    pub(super) source: String,
    pub(super) is_guilty: bool,
    /// Where a reader declares it never guilty.
    pub(super) filter: Option<String>,
}

impl Crash {
    /// What the payload of `report` says; `None` when it is no crash, or fits no grammar.
    pub(super) fn new(report: &Report, filters: &Filters) -> Option<Self> {
        let backtrace = payload::backtrace(report)?;
        let guilty = payload::guilty(backtrace.stack(), filters);
        let room = Room::new(FRAMES_HTML_BYTES);
        let mut tables = Tables { room, filters, threads: Vec::new(), left_out: backtrace.left_out };
        for (index, thread) in backtrace.threads.iter().enumerate() {
            let is_stack = Some(index) == backtrace.stack_thread();
            tables.add(thread, is_stack, guilty.as_ref().filter(|_| is_stack));
        }
        Some(Self {
            facts: facts(&backtrace),
            guilty: guilty.as_ref().map(chosen),
            threads: tables.threads,
            left_out: (tables.left_out > 0).then(|| text::thousands(tables.left_out as u64)),
        })
    }
}

fn facts(backtrace: &Backtrace<'_>) -> Vec<Fact> {
    let text = |value: Option<&str>| value.map(|value| text::line(value, FACT_CHARS));
    let registers = backtrace.registers.iter().map(|register| format!("{}: {}", register.name, register.value));
    let registers = registers.collect::<Vec<_>>().join(", ");
    let all = [
        ("Process", text(backtrace.process)),
        ("Process id", backtrace.pid.map(|pid| pid.to_string())),
        ("Signal", backtrace.signal.map(signal)),
        ("Error", text(backtrace.error)),
        ("Reason", text(backtrace.reason)),
        ("Kernel", text(backtrace.kernel_version)),
        ("Tainted", text(backtrace.taint)),
        ("Modules", text(backtrace.modules)),
        ("Registers", text(Some(registers.as_str()).filter(|registers| !registers.is_empty()))),
        ("Frames", backtrace.is_truncated.then(|| "too many: the probe left some out".to_owned())),
    ];
    all.into_iter().filter_map(|(name, value)| Some(Fact { name, value: value? })).collect()
}

fn signal(number: i32) -> String {
    signal_name(number).map_or_else(|| number.to_string(), |name| format!("{number} ({name})"))
}

fn chosen(guilty: &Guilty<'_>) -> Chosen {
    Chosen {
        function: text::line(&guilty.function, NAME_CHARS),
        module: text::line(guilty.module, PATH_CHARS),
        why: guilty.why.text(),
    }
}

/// The tables of threads, as many rows as there is room for.
struct Tables<'a> {
    room: Room,
    filters: &'a Filters,
    threads: Vec<ThreadTable>,
    left_out: usize,
}

impl Tables<'_> {
    fn add(&mut self, thread: &Thread<'_>, is_stack: bool, guilty: Option<&Guilty<'_>>) {
        /// A heading and the head of a table.
        const THREAD_BYTES: usize = 500;
        self.left_out += thread.left_out;
        if !self.room.take(THREAD_BYTES) {
            self.left_out += thread.frames.len() + 1;
            return;
        }
        let mut rows = Vec::new();
        for (index, frame) in thread.frames.iter().enumerate() {
            let filters = is_stack.then_some(self.filters);
            let row = FrameRow::new(frame, guilty.is_some_and(|guilty| guilty.frame == index), filters);
            if self.room.take(row.html_bytes()) {
                rows.push(row);
            } else {
                self.left_out += thread.frames.len() - index;
                break;
            }
        }
        let name = thread.tid.map_or_else(|| "Backtrace".to_owned(), |tid| format!("Thread {tid}"));
        self.threads.push(ThreadTable { name, is_stack, frames: rows });
    }
}

impl FrameRow {
    /// Without `filters` there is nothing to declare about it: it is of another thread.
    fn new(frame: &payload::Frame<'_>, is_guilty: bool, filters: Option<&Filters>) -> Self {
        let shown = shown_name(frame.function);
        let source = frame.source.map(|source| match source.line {
            Some(line) => format!("{}:{line}", text::line(source.file, PATH_CHARS)),
            None => text::line(source.file, PATH_CHARS),
        });
        Self {
            number: frame.number,
            function: text::line(&shown, NAME_CHARS),
            symbol: (shown != frame.function).then(|| text::line(frame.function, NAME_CHARS)),
            module: text::line(frame.module, PATH_CHARS),
            source: source.unwrap_or_default(),
            is_guilty,
            filter: filters.and_then(|filters| filter_address(&shown, frame.module, filters)),
        }
    }

    fn html_bytes(&self) -> usize {
        /// A row without its texts.
        const ROW_BYTES: usize = 260;
        /// The link of a filter without its texts.
        const LINK_BYTES: usize = 60;
        let texts = [&self.function, self.symbol.as_ref().unwrap_or(&self.source), &self.source, &self.module];
        let of_link = |address: &String| LINK_BYTES + text::html_bytes(address) + text::html_bytes(&self.function);
        let link = self.filter.as_ref().map(of_link);
        ROW_BYTES + texts.into_iter().map(|shown| text::html_bytes(shown)).sum::<usize>() + link.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(payload: &str) -> Option<Crash> {
        let classification = "org.clearlinux/crash/clr".to_owned();
        let report = Report { classification, payload: payload.to_owned(), ..Report::default() };
        Crash::new(&report, &Filters::from_iter([("filtered()", "/a")]))
    }

    #[test]
    fn what_fits_no_grammar_is_no_crash() {
        assert!(crash("Crash from third party\n").is_none());
        assert!(
            Crash::new(&Report { payload: "#0 a() - [/a]".to_owned(), ..Report::default() }, &Filters::default())
                .is_none()
        );
    }

    #[test]
    fn the_guilty_frame_is_marked_in_its_thread_alone() {
        let text = "Backtrace (TID 1):\nBacktrace (TID 2):\n#0 filtered() - [/a]\n#1 b() - [/a]\nBacktrace (TID 3):\n#0 x() - [/a]\n#1 b() - [/a]";
        let crash = crash(text).expect("a crash");
        let marked: Vec<_> =
            crash.threads.iter().map(|thread| thread.frames.iter().filter(|row| row.is_guilty).count()).collect();
        assert_eq!(marked, [0, 1, 0]);
        assert_eq!(crash.threads.iter().map(|thread| thread.is_stack).collect::<Vec<_>>(), [false, true, false]);
        let guilty = crash.guilty.expect("a guilty");
        assert_eq!((guilty.function.as_str(), guilty.module.as_str()), ("b()", "/a"));
        assert_eq!(guilty.why, payload::Why::FirstKnown.text());
    }

    #[test]
    fn a_signal_has_its_name() {
        let signals = [(11, "11 (SIGSEGV)"), (64, "64")];
        for (number, shown) in signals {
            let crash = crash(&format!("Signal: {number}")).expect("a crash");
            assert_eq!(crash.facts.iter().map(|fact| fact.value.as_str()).collect::<Vec<_>>(), [shown]);
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let frames: Vec<_> = (0..64).map(|number| format!("#{number} {} - [/a]\n", "<".repeat(400))).collect();
        let frames = frames.concat();
        let crash = crash(&format!("{frames}Backtrace (TID 2):\n#0 b() - [/a]\n")).expect("a crash");
        let shown: usize = crash.threads.iter().map(|thread| thread.frames.len()).sum();
        let threads = 2 - crash.threads.len();
        assert!((1..64).contains(&shown));
        assert_eq!(crash.left_out, Some((64 + 1 - shown + threads).to_string()));
    }
}
