//! `profile`: where the server's time goes under single records, by counting with `perf` where it is.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::Failure;
use crate::load::{Load, Mode, Outcome};
use crate::programs::{Ground, Place, start_server};
use crate::report::{Destination, Table, thousands};
use crate::requests::{Generation, Requests};

/// Looks a second; no multiple of anything that a timer does.
const FREQUENCY_HZ: &str = "997";
/// What is done once only is over by then.
const WARM_UP: Duration = Duration::from_secs(2);
/// Functions of the table.
const FUNCTIONS: usize = 40;
/// Longest name of a function, in characters.
const NAME_CHARS: usize = 90;

/// What `profile` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long the load lasts.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Connections that send at the same time.
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Form of the requests.
    #[arg(long, value_name = "FORM", default_value = "v3")]
    generation: Generation,
    /// How connections are used.
    #[arg(long, value_name = "MODE", default_value = "keep-alive")]
    mode: Mode,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

/// A share of all counted moments, in percent, and what of.
type Share = (f64, String);

impl Args {
    /// Measures and publishes the tables.
    ///
    /// # Errors
    /// When `perf` is missing or may not look at the server.
    ///
    /// # Panics
    /// When the server does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground()?;
        let outcome = self.record(&program, &directory)?;
        let recording = recording(&directory);
        let threads = shares(&report(&recording, "comm")?, plain_name);
        let parts = shares(&report(&recording, "comm,sym")?, part_of);
        let functions = shares(&report(&recording, "sym")?, plain_name);
        let text = format!(
            "{} records/s while it was looked at.\n\n{}\n{}\n{}",
            thousands(outcome.rate()),
            table("thread", &threads),
            table("part", &parts),
            table("function (k: of the kernel)", &functions)
        );
        self.destination.publish("profile", &facts, &text, &[])
    }

    fn record(&self, program: &str, directory: &TempDir) -> Result<Outcome, Failure> {
        let server = start_server(program, &directory.path().join("data"), &[]);
        let requests = Requests::new(self.generation, 1);
        let load = Load { address: server.address(), requests, mode: self.mode, connections: self.connections };
        load.run(WARM_UP)?;
        let duration = Duration::from_secs(self.seconds);
        let pid = server.process().pid().to_string();
        let output = recording(directory);
        thread::scope(|scope| {
            let perf = scope.spawn(|| perf_record(&pid, &output, duration));
            let outcome = load.run(duration)?;
            perf.join().map_err(|_| "perf panicked")??;
            Ok(outcome)
        })
    }
}

fn recording(directory: &TempDir) -> String {
    directory.path().join("perf.data").display().to_string()
}

fn perf_record(pid: &str, output: &str, duration: Duration) -> Result<(), Failure> {
    let seconds = duration.as_secs().to_string();
    let arguments =
        ["record", "-q", "-e", "cpu-clock", "-F", FREQUENCY_HZ, "-p", pid, "-o", output, "--", "sleep", &seconds];
    let ended = Command::new("perf").args(arguments).stdout(Stdio::null()).output();
    let ended = ended.map_err(|error| format!("perf cannot be started: {error}"))?;
    if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ended.stderr).into()) }
}

fn report(recording: &str, sort: &str) -> Result<String, Failure> {
    let fields = format!("overhead,{sort}");
    let arguments = ["report", "-q", "--stdio", "-i", recording, "-F", &fields];
    let ended = Command::new("perf").args(arguments).output()?;
    if !ended.status.success() || !Path::new(recording).is_file() {
        return Err(String::from_utf8_lossy(&ended.stderr).into());
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// Lines such as `  12.34%  name`, added up by what `key` makes of the names, greatest first.
fn shares(report: &str, key: impl Fn(&str) -> String) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    for line in report.lines() {
        let Some((share, name)) = line.trim().split_once('%') else { continue };
        let (Ok(share), name) = (share.trim().parse::<f64>(), key(name)) else { continue };
        match shares.iter_mut().find(|(_, other)| *other == name) {
            Some((sum, _)) => *sum += share,
            None => shares.push((share, name)),
        }
    }
    shares.sort_by(|one, other| other.0.total_cmp(&one.0));
    shares
}

/// What a function belongs to, by the thread that runs it and by pieces of its name; the first that fits counts.
const PARTS: &[(&str, &[&str], &str)] = &[
    ("journal", &["[k] "], "kernel for the journal's thread: write, fdatasync, waking up"),
    ("", &["[k] "], "kernel for all other threads: sockets, polling, waking up"),
    ("", &["redelivery", "siphasher"], "redelivery window"),
    ("", &["journal", "crc32"], "journal"),
    ("", &["codec"], "journal: encoding of records"),
    ("", &["schema::wire", "serde_json::de", "serde_json::read"], "decoding and checking of requests"),
    ("", &["schema::answer", "format_escaped", "serde_json::ser"], "writing of answers"),
    (
        "",
        &["parquet", "zstd", "ZSTD", "HUF_", "FSE_", "arrow", "deltalake", "drain", "schema::batch", "twox"],
        "drain and store",
    ),
    ("", &["hyper", "httparse", "http::", "http_body", "axum", "tower", "matchit", "h2::"], "HTTP"),
    ("", &["tokio", "mio::"], "runtime"),
    ("", &["malloc", "_int_free", "free@", "realloc", "calloc", "unlink_chunk", "alloc::"], "memory allocation"),
    ("", &["mem", "vdso", "clock_gettime"], "copying of memory, clock"),
];

/// The part of the program that `  thread  [.] function` belongs to.
fn part_of(line: &str) -> String {
    let (thread, function) = line.trim().split_once(' ').unwrap_or(("", line));
    let fits = |(of, pieces, _): &&(&str, &[&str], &str)| {
        thread.starts_with(of) && pieces.iter().any(|piece| function.contains(piece))
    };
    PARTS.iter().find(fits).map_or("everything else", |(_, _, part)| part).to_owned()
}

/// Without the hash at the end of Rust's names, and short.
fn plain_name(name: &str) -> String {
    let name = name.trim().trim_start_matches("[.] ").replace("[k] ", "k: ");
    let name = match name.rsplit_once("::h") {
        Some((plain, hash)) if hash.len() == 16 => plain,
        _ => &name,
    };
    name.chars().take(NAME_CHARS).collect::<String>().replace('|', "/")
}

fn table(head: &str, shares: &[Share]) -> String {
    let mut table = Table::new(&[">% of the server's time", head]);
    for (share, name) in shares.iter().take(FUNCTIONS).filter(|(share, _)| *share >= 0.3) {
        table.row([format!("{share:.1}"), format!("`{name}`")]);
    }
    table.text().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_one_function_are_added_up() {
        let report = "\n    10.50%  [.] a::b::h0123456789abcdef\n     2.00%  [k] copy\n     3.00%  [.] a::b::hfedcba9876543210\n# x\n";
        assert_eq!(shares(report, plain_name), [(13.5, "a::b".to_owned()), (2.0, "k: copy".to_owned())]);
    }

    #[test]
    fn functions_belong_to_parts() {
        for (line, part) in [
            ("  journal          [k] submit_bio", PARTS[0].2),
            ("  tokio-rt-worker  [k] tcp_sendmsg", PARTS[1].2),
            ("  tokio-rt-worker  [.] telemetrics_schema::wire::check::check", "decoding and checking of requests"),
            ("  tokio-rt-worker  [.] something", "everything else"),
        ] {
            assert_eq!(part_of(line), part, "{line}");
        }
    }

    #[test]
    fn names_are_short_and_fit_into_a_table() {
        assert_eq!(plain_name(" [.] a|b "), "a/b");
        assert_eq!(plain_name(&"x".repeat(200)).len(), NAME_CHARS);
        assert_eq!(plain_name("a::help"), "a::help");
    }
}
