//! The payload of a crash or of a kernel report in a form that pages and questions work with.

use super::frame::Frame;
use super::lines::{Line, lines};

/// Frames of one thread that are kept: as many as the crash probe sends.
pub const FRAMES_PER_THREAD: usize = 64;
/// Threads that are kept.
pub const THREADS: usize = 256;
/// Register lines that are kept.
pub const REGISTERS: usize = 64;

/// What a payload says, borrowed from its text. What it does not say is `None`, of what it says twice the first is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backtrace<'a> {
    /// Path of the program that crashed.
    pub process: Option<&'a str>,
    /// Id of its process.
    pub pid: Option<u32>,
    /// Number of the signal that ended it.
    pub signal: Option<i32>,
    /// What the crash probe could not do.
    pub error: Option<&'a str>,
    /// Whether the crash probe left out frames.
    pub is_truncated: bool,
    /// What the kernel gave as its reason.
    pub reason: Option<&'a str>,
    /// Version of the kernel that reported.
    pub kernel_version: Option<&'a str>,
    /// What makes the kernel one that its developers do not answer for.
    pub taint: Option<&'a str>,
    /// Names of its modules, between spaces.
    pub modules: Option<&'a str>,
    /// The first [`REGISTERS`] lines about registers.
    pub registers: Vec<Register<'a>>,
    /// The first [`THREADS`] threads; frames above the first header of a thread are one, too.
    pub threads: Vec<Thread<'a>>,
    /// How many more threads and registers there are.
    pub left_out: usize,
}

/// One register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register<'a> {
    /// Its name, such as `RIP`.
    pub name: &'a str,
    /// What is said of its value.
    pub value: &'a str,
}

/// One thread.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Thread<'a> {
    /// Its id; kernels give none.
    pub tid: Option<u32>,
    /// Its first [`FRAMES_PER_THREAD`] frames, the innermost first; there may be none.
    pub frames: Vec<Frame<'a>>,
    /// How many more frames it has.
    pub left_out: usize,
}

impl<'a> Backtrace<'a> {
    /// What `payload` says; `None` when no line of it fits the grammars of crash probe and kernel probes.
    #[must_use]
    pub fn parse(payload: &'a str) -> Option<Self> {
        let mut builder = Builder::default();
        for line in lines(payload) {
            builder.add(line);
        }
        let is_empty = builder.backtrace == Self::default();
        (!is_empty).then_some(builder.backtrace)
    }

    /// The frames of the first thread that has any: the one that crashed. Empty where no thread has.
    #[must_use]
    pub fn stack(&self) -> &[Frame<'a>] {
        self.stack_thread().map_or(&[], |index| &self.threads[index].frames)
    }

    /// The index of the first thread that has frames.
    #[must_use]
    pub fn stack_thread(&self) -> Option<usize> {
        self.threads.iter().position(|thread| !thread.frames.is_empty())
    }
}

#[derive(Default)]
struct Builder<'a> {
    backtrace: Backtrace<'a>,
    /// Whether frames belong to a thread that is not kept.
    is_beyond: bool,
}

impl<'a> Builder<'a> {
    fn add(&mut self, line: Line<'a>) {
        let to = &mut self.backtrace;
        match line {
            Line::Process(path) => keep_first(&mut to.process, path),
            Line::Pid(pid) => keep_first(&mut to.pid, pid),
            Line::Signal(signal) => keep_first(&mut to.signal, signal),
            Line::Error(error) => keep_first(&mut to.error, error),
            Line::Truncated => to.is_truncated = true,
            Line::Reason(reason) => keep_first(&mut to.reason, reason),
            Line::KernelVersion(version) => keep_first(&mut to.kernel_version, version),
            Line::Taint(taint) => keep_first(&mut to.taint, taint),
            Line::Modules(modules) => keep_first(&mut to.modules, modules),
            Line::Register { name, value } => self.register(Register { name, value }),
            Line::Thread(tid) => self.thread(tid),
            Line::Frame(frame) => self.frame(frame),
        }
    }

    fn register(&mut self, register: Register<'a>) {
        let to = &mut self.backtrace;
        if to.registers.len() < REGISTERS {
            to.registers.push(register);
        } else {
            to.left_out += 1;
        }
    }

    fn thread(&mut self, tid: Option<u32>) {
        let to = &mut self.backtrace;
        self.is_beyond = to.threads.len() >= THREADS;
        if self.is_beyond {
            to.left_out += 1;
        } else {
            to.threads.push(Thread { tid, ..Thread::default() });
        }
    }

    fn frame(&mut self, frame: Frame<'a>) {
        if self.is_beyond {
            return;
        }
        if self.backtrace.threads.is_empty() {
            self.thread(None);
        }
        let Some(thread) = self.backtrace.threads.last_mut() else { return };
        if thread.frames.len() < FRAMES_PER_THREAD {
            thread.frames.push(frame);
        } else {
            thread.left_out += 1;
        }
    }
}

fn keep_first<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::scan::work;
    use super::*;

    const CRASH: &str = "Process: /usr/bin/name\nPID: 7\nSignal: 11\nToo many frames. Backtrace truncated.\n\n\
        Backtrace (TID 7):\n#0 f() - [/a] - a.c:6\n#1 ??? - [/b]\n\nBacktrace (TID 8):\n#0 g() - [/a]\n";

    fn functions<'a>(backtrace: &Backtrace<'a>) -> Vec<Vec<&'a str>> {
        backtrace.threads.iter().map(|thread| thread.frames.iter().map(|frame| frame.function).collect()).collect()
    }

    #[test]
    fn a_crash_has_its_head_and_its_threads() {
        let crash = Backtrace::parse(CRASH).expect("a crash");
        assert_eq!((crash.process, crash.pid, crash.signal), (Some("/usr/bin/name"), Some(7), Some(11)));
        assert!(crash.is_truncated);
        assert_eq!(crash.threads.iter().map(|thread| thread.tid).collect::<Vec<_>>(), [Some(7), Some(8)]);
        assert_eq!(functions(&crash), [vec!["f()", "???"], vec!["g()"]]);
    }

    #[test]
    fn other_line_ends_and_spaces_around_lines_say_the_same() {
        for text in [CRASH.replace('\n', "\r\n"), CRASH.replace('\n', " \0\n\t"), format!("\0\n{CRASH}\0")] {
            assert_eq!(Backtrace::parse(&text), Backtrace::parse(CRASH), "{text:?}");
        }
    }

    #[test]
    fn a_kernel_report_has_its_head_and_one_thread() {
        let text = "Crash Report:\nReason: BUG: bad\nKernel Version : 6.1 #1\nTainted : G W\nModules : a b\n\
            Backtrace :\nRegister RIP: Non-zero\nRegister RSP: 0\n#1 f - [kernel]\n#2 ? g - [snd]\n";
        let report = Backtrace::parse(text).expect("a report");
        assert_eq!((report.reason, report.kernel_version), (Some("BUG: bad"), Some("6.1 #1")));
        assert_eq!((report.taint, report.modules), (Some("G W"), Some("a b")));
        assert_eq!(report.registers.iter().map(|register| register.name).collect::<Vec<_>>(), ["RIP", "RSP"]);
        assert_eq!(functions(&report), [["f", "? g"]]);
        assert!(!report.stack()[0].is_unsure() && report.stack()[1].is_unsure());
    }

    #[test]
    fn frames_above_the_first_header_are_a_thread() {
        let text =
            "#0 a() - [/a]\n#1 b() - [/a]\nBacktrace (TID 5):\n#0 c() - [/a]\nProcess: /late\nSignal: 6\nSignal: 7";
        let crash = Backtrace::parse(text).expect("a crash");
        assert_eq!(functions(&crash), [vec!["a()", "b()"], vec!["c()"]]);
        assert_eq!((crash.process, crash.signal), (Some("/late"), Some(6)));
        assert_eq!(crash.threads.iter().map(|thread| thread.tid).collect::<Vec<_>>(), [None, Some(5)]);
    }

    #[test]
    fn the_stack_is_that_of_the_first_thread_with_frames() {
        let crash = Backtrace::parse("Backtrace (TID 1):\n\nBacktrace (TID 2):\n#0 a() - [/a]\n").expect("a crash");
        assert_eq!((crash.threads.len(), crash.stack_thread()), (2, Some(1)));
        assert_eq!(crash.stack()[0].function, "a()");
        assert!(Backtrace::parse("Backtrace (TID 1):").expect("a thread").stack().is_empty());
    }

    #[test]
    fn what_fits_no_grammar_is_nothing() {
        for text in ["", "\0", "hello\n", "Crash from third party\n", "Crash Report:\n\n", "#0 \n# 1\nMESSAGE=a: b"] {
            assert_eq!(Backtrace::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_beyond_the_limits_is_counted() {
        let frame = "#0 f() - [/a]\n";
        let at = |count| Backtrace::parse(&frame.repeat(count)).expect("frames").threads[0].left_out;
        assert_eq!([at(FRAMES_PER_THREAD), at(FRAMES_PER_THREAD + 3)], [0, 3]);
        let thread = format!("Backtrace (TID 1):\n{frame}");
        let text = thread.repeat(THREADS + 2) + &"Register RIP: 0\n".repeat(REGISTERS + 1);
        let crash = Backtrace::parse(&text).expect("threads");
        assert_eq!((crash.threads.len(), crash.registers.len(), crash.left_out), (THREADS, REGISTERS, 3));
        assert!(crash.threads.iter().all(|thread| thread.frames.len() == 1));
    }

    /// A text of about `bytes` bytes that repeats `piece`.
    fn repeated(piece: &str, bytes: usize) -> String {
        piece.repeat(bytes / piece.len())
    }

    #[test]
    fn work_grows_with_the_text_and_no_faster() {
        /// How often a byte is looked at, at most.
        const LOOKS: usize = 6;
        let pieces = [
            "#0 ",
            "#0 \n",
            "#0 f() - [/a]\n",
            "#0 [",
            "#0 f - [a]",
            "[ ",
            "] ",
            " [",
            "- [",
            "]",
            " - ",
            "] -",
            "#",
            "\n",
            " ",
            "\r\n",
            "\0",
            ":",
            "a:",
            "Backtrace",
            "Backtrace (",
            "Backtrace (TID 1):\n",
            "Register A: 1\n",
            "Process: ",
            "é",
            "0",
        ];
        for piece in pieces {
            for head in ["", "#0 ", "#0 f() - [", "#0 f() - [/a] - ", "#", "Process:", "Backtrace "] {
                let mut text = head.to_owned();
                let _ = write!(text, "{}", repeated(piece, 1 << 17));
                let bytes = work(|| drop(Backtrace::parse(&text)));
                assert!(bytes <= LOOKS * text.len(), "{piece:?} behind {head:?}: {bytes} of {}", text.len());
            }
        }
    }
}
