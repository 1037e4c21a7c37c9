//! A program that a test runs: its output is kept and can be waited for, and it never outlives the test process.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take for what is waited for; far more than it needs, even where others build meanwhile.
pub const LIMIT: Duration = Duration::from_mins(5);
/// How long the last words of a program that failed may take.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);
const POLL_DISTANCE: Duration = Duration::from_millis(10);

/// Runs the command behind it with the signal XFSZ ignored, see [`Process::limit_file_bytes`].
pub const IGNORES_XFSZ: [&str; 4] = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];

/// Waits for the end of its standard input, which is the end of the test process, then kills the process group `$1` and
/// removes the directory `$2`. It outlives an interrupted test run, which the group does not see.
const WATCH: &str = "trap '' INT HUP TERM; read -r line; kill -s KILL -- \"-$1\"; rm -rf -- \"$2\"";

/// A program that runs; it is killed, with those that it started, when this is dropped or the test process dies.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    watchdog: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What is left of a program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All that it printed.
    pub stdout: String,
    /// All that it said about itself.
    pub stderr: String,
}

impl Process {
    /// Starts `command`; `dir` is removed when the test process dies before this is dropped.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, dir: &Path) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let watchdog = watch(&child.id().to_string(), dir);
        let stdout = Lines::of(child.stdout.take().expect("a pipe"));
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        Self { name, child, watchdog, stdout, stderr }
    }

    /// Waits for a line of standard output from which `find` makes something.
    ///
    /// # Panics
    /// When the output ends or [`LIMIT`] passes without one; the message holds everything that was said.
    pub fn wait_for_output<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        self.stdout.wait_for(find).unwrap_or_else(|| self.fail("did not print what was waited for"))
    }

    /// As [`Process::wait_for_output`], for standard error.
    ///
    /// # Panics
    /// As [`Process::wait_for_output`].
    pub fn wait_for_error<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        self.stderr.wait_for(find).unwrap_or_else(|| self.fail("did not say what was waited for"))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to read its configuration anew (SIGHUP).
    ///
    /// # Panics
    /// When it has ended.
    pub fn hang_up(&self) {
        assert!(signal("HUP", &self.child.id().to_string()), "{} has ended: {self}", self.name);
    }

    fn fail(&self, what: &str) -> ! {
        // One output of a program that fails may end before the other one, which has the reason, was read.
        drop(self.stderr.wait_for_end(LAST_WORDS_LIMIT));
        panic!("{} {what}: {self}", self.name)
    }

    /// Everything that it has said on standard error until now.
    #[must_use]
    pub fn errors(&self) -> String {
        self.stderr.text()
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it (SIGKILL), as a crash would.
    ///
    /// # Panics
    /// When it had ended by itself.
    pub fn kill(mut self) -> Ended {
        let ended = self.child.try_wait().expect("a child");
        assert!(ended.is_none(), "{} had ended before it was killed: {self}", self.name);
        self.end();
        self.wait()
    }

    /// Kills it (SIGKILL), unless it was faster and had ended by itself.
    ///
    /// # Panics
    /// When the system does not say whether it had.
    pub fn kill_or_ended(mut self) -> Ended {
        if self.child.try_wait().expect("a child").is_none() {
            self.end();
        }
        self.wait()
    }

    /// Lets every file that it writes grow to `bytes` at most; `None` lifts that. Beyond, its writes fail.
    ///
    /// It dies of such a write unless it was started with the signal XFSZ ignored, see [`IGNORES_XFSZ`].
    ///
    /// # Panics
    /// When the limit cannot be set.
    pub fn limit_file_bytes(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let mut command = Command::new("prlimit");
        command.args(["--pid", &self.child.id().to_string(), &format!("--fsize={limit}:")]);
        assert!(command.status().expect("prlimit (of util-linux)").success(), "a limit of {limit} was not set");
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it does not stop within [`LIMIT`].
    #[must_use]
    pub fn terminate(self) -> Ended {
        let pid = self.child.id().to_string();
        assert!(signal("TERM", &pid), "{} had ended before it was asked to: {self}", self.name);
        self.wait()
    }

    /// Asks it to stop (SIGTERM), and kills it `after` that unless it is gone by then.
    ///
    /// # Panics
    /// When it had ended by itself.
    #[must_use]
    pub fn terminate_and_kill(mut self, after: Duration) -> Ended {
        let pid = self.child.id().to_string();
        assert!(signal("TERM", &pid), "{} had ended before it was asked to: {self}", self.name);
        thread::sleep(after);
        self.end();
        self.wait()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it does not within [`LIMIT`].
    #[must_use]
    pub fn wait(mut self) -> Ended {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return Ended { status, stdout: self.stdout.whole(), stderr: self.stderr.whole() };
            }
            assert!(start.elapsed() < LIMIT, "{} does not end: {self}", self.name);
            thread::sleep(POLL_DISTANCE);
        }
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n--- its output:\n{}\n--- its errors:\n{}", self.stdout.text(), self.stderr.text())
    }
}

impl Process {
    fn end(&mut self) {
        // The watchdog first: the number of a process that is gone may soon be another's.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        if matches!(self.child.try_wait(), Ok(None)) {
            signal("KILL", &format!("-{}", self.child.id()));
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a signal to a process, or with a minus sign to a group; whether it was there.
///
/// # Panics
/// When there is no shell.
pub fn signal(signal: &str, target: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", signal, target]).stderr(Stdio::null());
    shell.status().expect("a shell").success()
}

fn watch(target: &str, dir: &Path) -> Child {
    let mut command = Command::new("sh");
    command
        .args(["-c", WATCH, "sh", target])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("a shell that watches over the program")
}

/// Asks again and again until `condition` holds.
///
/// # Panics
/// When [`LIMIT`] passes before; `what` says what was waited for.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "waited in vain: {what}");
        thread::sleep(POLL_DISTANCE);
    }
}

/// The lines of one output, gathered by a thread, so that the program never waits for a reader.
#[derive(Debug, Clone, Default)]
struct Lines {
    shared: Arc<(Mutex<Gathered>, Condvar)>,
}

#[derive(Debug, Default)]
struct Gathered {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(output: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let gathered = lines.clone();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                gathered.change(|gathered| gathered.lines.push(text));
                line.clear();
            }
            gathered.change(|gathered| gathered.ended = true);
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Gathered)) {
        change(&mut self.lock());
        self.shared.1.notify_all();
    }

    fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    /// Everything, once the program has closed this output.
    fn whole(&self) -> String {
        self.wait_for_end(LIMIT).lines.join("\n")
    }

    fn wait_for_end(&self, limit: Duration) -> MutexGuard<'_, Gathered> {
        let waited = self.shared.1.wait_timeout_while(self.lock(), limit, |gathered| !gathered.ended);
        waited.expect("no panic inside").0
    }

    fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let mut seen = 0;
        let mut gathered = self.lock();
        loop {
            if let Some(found) = gathered.lines[seen..].iter().find_map(|line| find(line)) {
                return Some(found);
            }
            seen = gathered.lines.len();
            let left = LIMIT.checked_sub(start.elapsed())?;
            if gathered.ended {
                return None;
            }
            gathered = self.shared.1.wait_timeout(gathered, left).expect("no panic inside").0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script]), Path::new("/nonexistent/nothing"))
    }

    fn is_alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn both_outputs_are_kept_and_can_be_waited_for() {
        let process = shell("echo one; echo two; echo three >&2; exit 7");
        assert_eq!(process.wait_for_output(|line| line.strip_prefix("tw").map(str::to_owned)), "o");
        process.wait_for_error(|line| (line == "three").then_some(()));
        let ended = process.wait();
        assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(7), "one\ntwo", "three"));
    }

    #[test]
    #[should_panic(expected = "it failed")]
    fn waiting_for_what_never_comes_shows_what_was_said() {
        shell("echo it failed >&2").wait_for_output(|line| (line == "x").then_some(()));
    }

    #[test]
    fn a_request_to_stop_can_be_answered() {
        let process = shell("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done");
        process.wait_for_output(|line| (line == "up").then_some(()));
        let ended = process.terminate();
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(3), "up\nbye"));
    }

    #[test]
    fn what_it_said_before_a_kill_is_kept() {
        let process = shell("echo up; echo warned >&2; while :; do sleep 1; done");
        process.wait_for_error(|line| (line == "warned").then_some(()));
        let ended = process.kill();
        assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (None, "up", "warned"));
    }

    #[test]
    fn a_limit_of_files_makes_writes_fail_until_it_is_lifted() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = "while ! echo whole >file; do sleep 0.01; done; echo done";
        let wait = "until [ -e go ]; do sleep 0.01; done; ";
        let mut command = Command::new(IGNORES_XFSZ[0]);
        command.args(&IGNORES_XFSZ[1..]).args(["sh", "-c", &format!("{wait}{script}")]).current_dir(dir.path());
        let process = Process::start(&mut command, dir.path());
        process.limit_file_bytes(Some(2));
        std::fs::write(dir.path().join("go"), "").expect("written");
        process.wait_for_error(|line| line.contains("rror").then_some(()));
        process.limit_file_bytes(None);
        let ended = process.wait();
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(0), "done"), "{}", ended.stderr);
        assert_eq!(std::fs::read_to_string(dir.path().join("file")).expect("a file"), "whole\n");
    }

    #[test]
    fn nothing_is_left_when_it_is_dropped() {
        let process = shell("while :; do sleep 1; done");
        let pids = [process.child.id(), process.watchdog.id()];
        assert!(pids.into_iter().all(is_alive));
        drop(process);
        // Reaped, hence gone at once.
        assert!(!pids.into_iter().any(is_alive));
    }

    #[test]
    fn the_end_of_the_parent_ends_the_program_and_removes_its_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut process = Process::start(Command::new("sleep").arg("1000"), dir.path());
        // What happens to the pipe when the test process dies.
        drop(process.watchdog.stdin.take());
        let status = process.child.wait().expect("a child");
        assert!(!status.success());
        process.watchdog.wait().expect("a child");
        assert!(!dir.path().exists());
    }
}
