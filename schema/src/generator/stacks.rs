//! The population of crash stacks: programs, the libraries that they call, and the backtraces they leave.

use std::fmt::Write as _;

use super::chance::{Chance, Stream};
use super::fleet::Regression;
use super::names::{Function, Language, function, stem};

/// The crash probe cuts a thread off here.
pub(super) const MAX_FRAMES: usize = 64;
/// Distinct stacks through one planted guilty.
pub(super) const STACKS_PER_REGRESSION: u32 = 5;

/// One way to crash: everything of a payload but the process ids.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    process: String,
    signal: Option<u32>,
    truncated: bool,
    /// Frames of each thread, a line each; the first thread is the one that crashed.
    threads: Vec<String>,
}

impl Stack {
    /// Appends the payload of one crash of the process `pid`.
    pub(super) fn write(&self, pid: u32, error: Option<&str>, out: &mut String) {
        out.reserve(256 + self.threads.iter().map(String::len).sum::<usize>());
        // Writing into a `String` cannot fail.
        let _ = write!(out, "Process: {}\nPID: {pid}\n", self.process);
        if let Some(signal) = self.signal {
            let _ = writeln!(out, "Signal: {signal}");
        }
        if let Some(error) = error {
            let _ = writeln!(out, "Error: {error}");
        }
        if self.truncated {
            out.push_str("Too many frames. Backtrace truncated.\n");
        }
        for (tid, frames) in (pid..).zip(&self.threads) {
            let _ = writeln!(out, "\nBacktrace (TID {tid}):");
            out.push_str(frames);
        }
    }
}

/// All stacks of a fleet: first the general population in order of popularity, then those of each regression.
pub(super) fn population(seed: u64, stacks: u32, regressions: &[Regression]) -> Vec<Stack> {
    let mut chance = Chance::new(seed, Stream::Stacks);
    let world = Software::new(&mut chance);
    let mut all: Vec<Stack> = (0..stacks.max(1)).map(|rank| world.stack(&mut chance, rank)).collect();
    // Own stream: the same fleet without its regressions has the same population.
    let mut chance = Chance::new(seed, Stream::Planted);
    for regression in regressions {
        world.plant(&mut chance, regression, &mut all);
    }
    all
}

/// A program or a library with its functions.
#[derive(Debug)]
struct Module {
    path: String,
    language: Language,
    functions: Vec<Function>,
}

/// The programs and libraries that crash.
#[derive(Debug)]
struct Software {
    programs: Vec<Module>,
    libraries: Vec<Module>,
}

const PROGRAMS: usize = 90;
const LIBRARIES: usize = 60;
const FUNCTIONS_PER_MODULE: u32 = 40;

impl Software {
    fn new(chance: &mut Chance) -> Self {
        let programs = (0..PROGRAMS).map(|number| program(chance, number)).collect();
        let libraries = (0..LIBRARIES).map(|number| library(chance, number)).collect();
        Self { programs, libraries }
    }

    /// Adds the stacks of a regression: in one program where its module is one, else in any that call the library.
    fn plant(&self, chance: &mut Chance, guilty: &Regression, stacks: &mut Vec<Stack>) {
        let file = guilty.module.rsplit('/').next().unwrap_or_default();
        let own = (!file.contains(".so")).then(|| module(chance, guilty.module.clone(), Language::C, file));
        for rank in 0..STACKS_PER_REGRESSION {
            let program = own.as_ref().unwrap_or_else(|| self.any_program(chance));
            let mut frames = Frames::default();
            frames.push(&format!("{}() - [{}]", guilty.function, guilty.module));
            stacks.push(self.crash(chance, program, rank, frames));
        }
    }

    fn any_program(&self, chance: &mut Chance) -> &Module {
        &self.programs[chance.index(self.programs.len())]
    }

    /// The stack of this rank in the order of popularity.
    fn stack(&self, chance: &mut Chance, rank: u32) -> Stack {
        /// One stack in this many is a recursion without end.
        const RECURSIONS_ONE_IN: u32 = 40;
        let program = self.any_program(chance);
        if rank % RECURSIONS_ONE_IN == RECURSIONS_ONE_IN / 2 {
            return recursion(chance, program);
        }
        let mut frames = Frames::default();
        if chance.one_in(6) {
            frames.push_all(&ABORT);
        }
        self.crash(chance, program, rank, frames)
    }

    /// A crash of the program with `frames` on top.
    fn crash(&self, chance: &mut Chance, program: &Module, rank: u32, mut frames: Frames) -> Stack {
        let signal = signal(chance, frames.count == ABORT.len());
        let second = chance.one_in(4).then(|| waiting_thread(chance));
        // Evenly spread over the ranks, so that the mean payload does not hang on the few most popular stacks.
        let target_bytes = TARGET_BYTES[rank as usize % TARGET_BYTES.len()] - second.as_ref().map_or(0, String::len);
        self.fill(chance, program, &mut frames, target_bytes);
        bottom(chance, program, &mut frames);
        let threads = std::iter::once(frames.text).chain(second).collect();
        Stack { process: program.path.clone(), signal, truncated: false, threads }
    }

    /// Library frames above the program's own, until the text is long enough.
    fn fill(&self, chance: &mut Chance, program: &Module, frames: &mut Frames, target_bytes: usize) {
        /// What [`bottom`] and the lines above the frames take.
        const REST_BYTES: usize = 440;
        let target_bytes = target_bytes.saturating_sub(REST_BYTES);
        let library = &self.libraries[chance.index(self.libraries.len())];
        let own_from = target_bytes * chance.between(20, 70) as usize / 100;
        loop {
            let module = if frames.text.len() < own_from { library } else { program };
            frame(chance, module, frames);
            if frames.text.len() >= target_bytes {
                break;
            }
        }
    }
}

/// Sizes of payloads that the ranks go through, in bytes.
const TARGET_BYTES: [usize; 7] = [1_280, 865, 1_685, 1_075, 2_050, 1_340, 960];

fn program(chance: &mut Chance, number: usize) -> Module {
    let language = language(chance);
    let name = stem(number);
    let path = match chance.below(5) {
        0 => format!("/usr/libexec/{name}-daemon"),
        1 => format!("/usr/bin/{name}d"),
        _ => format!("/usr/bin/{name}"),
    };
    module(chance, path, language, &name)
}

fn library(chance: &mut Chance, number: usize) -> Module {
    // Offset: a library and a program of the same stem are another library and another program.
    let name = stem(number + 7);
    let language = language(chance);
    let path = format!("/usr/lib64/lib{name}.so.{}", chance.below(9));
    module(chance, path, language, &name)
}

fn language(chance: &mut Chance) -> Language {
    match chance.below(100) {
        0..52 => Language::C,
        52..78 => Language::Cpp,
        78..90 => Language::RustLegacy,
        _ => Language::RustV0,
    }
}

fn module(chance: &mut Chance, path: String, language: Language, name: &str) -> Module {
    let has_source = chance.percent(60);
    let functions = (0..FUNCTIONS_PER_MODULE).map(|_| function(chance, language, name, has_source)).collect();
    Module { path, language, functions }
}

/// Numbered lines of one thread.
#[derive(Debug, Default)]
struct Frames {
    text: String,
    count: usize,
}

impl Frames {
    fn push(&mut self, frame: &str) {
        let _ = writeln!(self.text, "#{} {frame}", self.count);
        self.count += 1;
    }

    fn push_all(&mut self, frames: &[&str]) {
        for frame in frames {
            self.push(frame);
        }
    }
}

fn frame(chance: &mut Chance, module: &Module, frames: &mut Frames) {
    match chance.below(100) {
        0..6 => frames.push(&format!("??? - [{}]", module.path)),
        6 => frames.push("(no symbols)"),
        _ => frames.push(&known(pick_function(chance, module), &module.path)),
    }
}

/// The first functions of a module are on the most paths.
fn pick_function<'a>(chance: &mut Chance, module: &'a Module) -> &'a Function {
    let length = module.functions.len();
    &module.functions[chance.index(length).min(chance.index(length))]
}

fn known(function: &Function, path: &str) -> String {
    match &function.source {
        Some(source) => format!("{}() - [{path}] - {source}:{}", function.symbol, function.line),
        None => format!("{}() - [{path}]", function.symbol),
    }
}

const ABORT: [&str; 3] = [
    "__pthread_kill_implementation() - [libc.so.6] - ./nptl/pthread_kill.c:44",
    "raise() - [libc.so.6] - ../sysdeps/posix/raise.c:26",
    "abort() - [libc.so.6] - ./stdlib/abort.c:79",
];
const START: [&str; 2] = [
    "__libc_start_call_main() - [libc.so.6] - ../sysdeps/nptl/libc_start_call_main.h:58",
    "__libc_start_main@@GLIBC_2.34() - [libc.so.6] - ../csu/libc-start.c:360",
];
const THREAD: [&str; 2] = [
    "start_thread() - [libc.so.6] - ./nptl/pthread_create.c:442",
    "__clone3() - [libc.so.6] - ../sysdeps/unix/sysv/linux/x86_64/clone3.S:81",
];

/// Where every thread began: `main` or the start of a worker.
fn bottom(chance: &mut Chance, program: &Module, frames: &mut Frames) {
    if chance.percent(30) {
        frames.push_all(&THREAD);
        return;
    }
    frames.push(&format!("main() - [{}]{}", program.path, main_source(program.language)));
    frames.push_all(&START);
    frames.push(&format!("_start() - [{}]", program.path));
}

fn main_source(language: Language) -> &'static str {
    match language {
        Language::C => " - src/main.c:212",
        Language::Cpp => " - ../src/main.cpp:97",
        Language::RustLegacy | Language::RustV0 => "",
    }
}

/// A thread that had nothing to do with the crash.
fn waiting_thread(chance: &mut Chance) -> String {
    const WAITS: [&str; 3] = [
        "clock_nanosleep@GLIBC_2.2.5() - [libc.so.6] - ../sysdeps/unix/sysv/linux/clock_nanosleep.c:48",
        "epoll_wait() - [libc.so.6] - ../sysdeps/unix/sysv/linux/epoll_wait.c:30",
        "__futex_abstimed_wait_common() - [libc.so.6] - ./nptl/futex-internal.c:57",
    ];
    let mut frames = Frames::default();
    frames.push(chance.pick(&WAITS));
    frames.push_all(&THREAD);
    frames.text
}

/// A function that called itself until the stack was full: the probe stops reading at its limit.
fn recursion(chance: &mut Chance, program: &Module) -> Stack {
    /// Leaves room within the 8 KiB that a probe sends.
    const MAX_TEXT_BYTES: usize = 7_800;
    let mut frames = Frames::default();
    (0..3).for_each(|_| frame(chance, program, &mut frames));
    let again = short_frame(chance, program);
    while frames.count < MAX_FRAMES && frames.text.len() + again.len() < MAX_TEXT_BYTES {
        frames.push(&again);
    }
    Stack { process: program.path.clone(), signal: Some(11), truncated: true, threads: vec![frames.text] }
}

/// A frame without its source whose symbol is none of the longest.
fn short_frame(chance: &mut Chance, program: &Module) -> String {
    let candidates = [(); 4].map(|()| &pick_function(chance, program).symbol);
    let shortest = candidates.into_iter().min_by_key(|symbol| symbol.len());
    format!("{}() - [{}]", shortest.map_or("???", String::as_str), program.path)
}

fn signal(chance: &mut Chance, aborted: bool) -> Option<u32> {
    match (aborted, chance.below(20)) {
        (_, 0) => None,
        (true, _) => Some(6),
        (false, 1) => Some(7),
        (false, 2) => Some(8),
        (false, 3) => Some(4),
        (false, _) => Some(11),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(stack: &Stack) -> String {
        let mut text = String::new();
        stack.write(4_711, None, &mut text);
        text
    }

    fn texts() -> Vec<String> {
        population(1, 2_000, &[]).iter().map(rendered).collect()
    }

    /// Whether `line` is `#N function - [module]` with an optional source behind, or `#N (no symbols)`.
    fn is_frame(line: &str, number: usize) -> bool {
        let Some(frame) = line.strip_prefix(&format!("#{number} ")) else { return false };
        let mut parts = frame.split(" - ");
        let function = parts.next().unwrap_or_default();
        let module = parts.next();
        let module_fits = module.is_some_and(|module| module.starts_with('[') && module.ends_with(']'));
        let function_fits = function == "???" || function.ends_with("()");
        (frame == "(no symbols)") || (function_fits && module_fits)
    }

    #[test]
    fn every_stack_follows_the_grammar() {
        for text in texts() {
            let (head, threads) = text.split_once("\n\nBacktrace ").expect("a backtrace");
            assert!(head.starts_with("Process: /usr/") && head.contains("\nPID: 4711"), "{head}");
            for thread in threads.split("\n\nBacktrace ") {
                let mut lines = thread.lines();
                assert!(
                    lines.next().is_some_and(|line| line.starts_with("(TID 47") && line.ends_with("):")),
                    "{thread}"
                );
                assert!(lines.enumerate().all(|(number, line)| is_frame(line, number)), "{thread}");
            }
        }
    }

    #[test]
    fn stacks_are_distinct_and_fit_into_a_payload() {
        let texts = texts();
        let distinct: std::collections::BTreeSet<_> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
        assert!(texts.iter().all(|text| text.len() < 8_000));
    }

    #[test]
    fn truncated_stacks_have_the_most_frames_and_say_so() {
        let truncated: Vec<_> = texts().into_iter().filter(|text| text.contains("Backtrace truncated.")).collect();
        assert!(!truncated.is_empty());
        assert!(truncated.iter().all(|text| text.contains("\n#63 ") && !text.contains("\n#64 ")));
    }

    #[test]
    fn every_mangling_and_unknown_frames_occur() {
        let all = texts().concat();
        for mark in ["() - [", "#0 ???", "(no symbols)", " _ZNSt6vector", "17h", " _RNv", " - ../src/"] {
            assert!(all.contains(mark), "{mark}");
        }
        let frames = all.lines().filter(|line| line.starts_with('#')).count();
        let mangled = all.lines().filter(|line| line.contains(" _ZN") || line.contains(" _R")).count();
        assert!((20..60).contains(&(100 * mangled / frames)), "{mangled} of {frames} frames are mangled");
    }

    #[test]
    fn an_error_has_its_line_above_the_backtrace() {
        let mut text = String::new();
        population(1, 1, &[])[0].write(7, Some("no symbols found"), &mut text);
        let (head, _) = text.split_once("\n\n").expect("a head");
        assert!(head.contains("\nError: no symbols found"));
    }
}
