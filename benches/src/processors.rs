//! Who of a long run had the processors: parts of the server, its database, and what asks them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::AddAssign;

use crate::procfs;

/// Names of the server's threads that make files of records, and look after files.
const FILES: &str = "drain";
/// Those that answer API and pages, exports, and statements.
const QUESTIONS: [&str; 3] = ["questions", "answers", "sql"];

/// Seconds of processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Of the server's threads that take records, and all that are not named below.
    pub records_s: f64,
    /// Of its threads that make files of records and merge them.
    pub files_s: f64,
    /// Of its threads that answer questions.
    pub questions_s: f64,
    /// Of the database.
    pub clickhouse_s: f64,
    /// Of this program: senders and readers.
    pub own_s: f64,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.records_s += other.records_s;
        self.files_s += other.files_s;
        self.questions_s += other.questions_s;
        self.clickhouse_s += other.clickhouse_s;
        self.own_s += other.own_s;
    }
}

/// What everybody had spent at the last look. Of threads that end between two looks, what they did since is not counted.
#[derive(Debug)]
pub struct Processors {
    threads: HashMap<u32, f64>,
    clickhouse: Option<(u32, f64)>,
    own_s: f64,
}

impl Processors {
    /// Counts from now on.
    ///
    /// # Errors
    /// When one of the processes is gone.
    pub fn start(server: u32, clickhouse: Option<u32>) -> io::Result<Self> {
        let clickhouse = clickhouse.map(|pid| (pid, 0.0));
        let mut processors = Self { threads: HashMap::new(), clickhouse, own_s: 0.0 };
        processors.look(server)?;
        Ok(processors)
    }

    /// What was spent since the last look. The server may be another process than then.
    ///
    /// # Errors
    /// When one of the processes is gone.
    pub fn look(&mut self, server: u32) -> io::Result<Spent> {
        let mut spent = Spent::default();
        let threads = threads(server)?;
        for (thread, (name, seconds)) in &threads {
            let since = (seconds - self.threads.get(thread).unwrap_or(&0.0)).max(0.0);
            *spent.of_thread(name) += since;
        }
        self.threads = threads.into_iter().map(|(thread, (_, seconds))| (thread, seconds)).collect();
        if let Some((pid, before)) = &mut self.clickhouse {
            let seconds = procfs::cpu_seconds(*pid)?;
            spent.clickhouse_s = seconds - std::mem::replace(before, seconds);
        }
        let own_s = procfs::cpu_seconds(std::process::id())?;
        spent.own_s = own_s - std::mem::replace(&mut self.own_s, own_s);
        Ok(spent)
    }
}

impl Spent {
    fn of_thread(&mut self, name: &str) -> &mut f64 {
        match name {
            FILES => &mut self.files_s,
            name if QUESTIONS.contains(&name) => &mut self.questions_s,
            _ => &mut self.records_s,
        }
    }
}

/// The threads of a process: their names, and the seconds that each has spent.
fn threads(pid: u32) -> io::Result<HashMap<u32, (String, f64)>> {
    let mut threads = HashMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let entry = entry?;
        // Threads may end while they are looked at.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(number), Some(thread)) = (number, procfs::name_and_seconds(&stat)) {
            threads.insert(number, thread);
        }
    }
    Ok(threads)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn threads_are_told_apart_by_their_names() {
        let mut processors = Processors::start(std::process::id(), None).expect("this process");
        let work = || {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(300) {
                std::hint::spin_loop();
            }
        };
        // It has worked, and it is still there, when it is looked at.
        let (has_worked, may_end) = (Barrier::new(2), Barrier::new(2));
        let spent = thread::scope(|scope| {
            let working = || {
                work();
                has_worked.wait();
                may_end.wait();
            };
            thread::Builder::new().name("sql".to_owned()).spawn_scoped(scope, working).expect("a thread");
            has_worked.wait();
            let spent = processors.look(std::process::id());
            may_end.wait();
            spent.expect("this process")
        });
        assert!(spent.questions_s > 0.0 && spent.files_s.abs() < 1e-9, "{spent:?}");
        assert!(spent.own_s >= spent.questions_s - 0.02 && spent.clickhouse_s.abs() < 1e-9, "{spent:?}");
    }

    #[test]
    fn parts_are_added_up() {
        let mut sum = Spent { records_s: 1.0, files_s: 2.0, questions_s: 3.0, clickhouse_s: 4.0, own_s: 5.0 };
        sum += sum;
        assert_eq!(sum, Spent { records_s: 2.0, files_s: 4.0, questions_s: 6.0, clickhouse_s: 8.0, own_s: 10.0 });
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Processors::start(u32::MAX, None).is_err());
    }
}
