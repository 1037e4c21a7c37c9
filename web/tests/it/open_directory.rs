//! Other programs open the embedded store's directory while the server takes records and compacts.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use telemetrics_schema::layout::DataDir;
use telemetrics_testkit::document::{Block, blocks};
use telemetrics_testkit::{Post, Python, Server, wait_until};

use crate::maintenance::{HASTY, rewritten};
use crate::servers::{PROGRAM, accepted, metric, records};

const GUIDE: &str = "docs/open-directory.md";
const PROGRAMS: [&str; 5] = ["DuckDB", "Polars", "pyarrow", "pandas", "What reads Parquet files only"];

#[test]
fn the_commands_of_the_guide_count_and_sum_as_the_api_does() {
    let server = Server::start_with_config(PROGRAM, HASTY, &[]);
    symlink(server.data_dir(), server.dir().join("telemetrics-data")).expect("a link");
    let table = DataDir::new(server.data_dir()).records_table();
    let python = Python::new();
    let scripts = scripts();

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| post_until(&stop, &server));
        // Also when an assertion below fails: the thread would be waited for.
        let _stop = Stop(&stop);
        let mut least = 1;
        for script in &scripts {
            let before = rewritten(&table);
            wait_until("a compaction", || !rewritten(&table).is_subset(&before));
            let (seen, _) = answer(&python, server.dir(), script);
            let most = told_by_api(&server).0;
            assert!((least..=most).contains(&seen), "{}: {seen} of {least} to {most}", script.heading);
            least = seen;
        }
    });

    wait_until("the delivery of everything", || metric(&server, "telemetrics_pending_records") == 0);
    assert!(metric(&server, "telemetrics_maintenance_rewrites_total") >= scripts.len() as u64);
    let expected = told_by_api(&server);
    for script in &scripts {
        assert_eq!(answer(&python, server.dir(), script), expected, "{}", script.heading);
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn scripts() -> Vec<Block> {
    let scripts: Vec<Block> = blocks(GUIDE).into_iter().filter(|block| block.language == "python").collect();
    assert_eq!(scripts.iter().map(|script| script.heading.as_str()).collect::<Vec<_>>(), PROGRAMS);
    scripts
}

/// Posts a record whenever the store has the one before, so that there are many small files.
fn post_until(stop: &AtomicBool, server: &Server) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let severity = (1 + n % 4).to_string();
        accepted(server, &Post::default().with("severity", severity).payload(format!("Grüße {n}")));
        wait_until("a delivery", || metric(server, "telemetrics_pending_records") == 0);
    }
}

/// How many records a script counts, and how many characters their payloads have.
fn answer(python: &Python, directory: &Path, script: &Block) -> (usize, usize) {
    let output = python.output(directory, &script.text);
    let numbers = output
        .trim_end()
        .split_once(' ')
        .and_then(|(records, characters)| Some((records.parse().ok()?, characters.parse().ok()?)));
    numbers.unwrap_or_else(|| panic!("{}: {output}", script.heading))
}

fn told_by_api(server: &Server) -> (usize, usize) {
    let records = records(server, "severity=1,2&limit=10000");
    assert!(records.len() < 10_000, "the API shows all of them");
    let characters = |record: &serde_json::Value| record["payload"].as_str().expect("a text").chars().count();
    (records.len(), records.iter().map(characters).sum())
}
