//! `report`: all measurements one after the other, and the summary of their targets.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use telemetrics_testkit::ClickHouse;

use crate::figures::Results;
use crate::programs::{Place, build_clickhouse};
use crate::report::{Destination, replace_section};
use crate::size::Size;
use crate::{Failure, batches, capacity, exports, growth, ingest, pages, roles, soak, start, stores, summary};

/// Where the page about capacity is.
const CAPACITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/capacity.md");

/// What can be measured alone.
const PARTS: [&str; 8] = ["ingest", "batches", "stores", "growth", "exports", "pages", "start", "roles"];

/// What `report` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Some minutes instead of an hour: fewer records, fewer turns.
    #[arg(long)]
    small: bool,
    /// Only to see that every figure can be produced: the numbers mean nothing.
    #[arg(long, hide = true, conflicts_with = "small")]
    smoke: bool,
    /// Ask the questions at so many records as well; 30 million take a quarter of an hour and 20 GB of disk.
    #[arg(long, value_name = "N", conflicts_with_all = ["small", "smoke"])]
    most_records: Option<u64>,
    /// Only these measurements, by the names of their commands; `growth` has the questions with it.
    #[arg(long, value_name = "NAME,NAME...", value_delimiter = ',', value_parser = PARTS)]
    only: Vec<String>,
    /// The page that is made of the figures, with --write.
    #[arg(long, value_name = "FILE", default_value = CAPACITY, hide_default_value = true)]
    capacity: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

/// One measurement: what its command is called, and what it does.
type Part<'a> = (&'static str, Box<dyn Fn() -> Result<(), Failure> + 'a>);

impl Args {
    /// Measures everything, prints all tables and the summary. What fails does not keep the rest from being measured.
    ///
    /// # Errors
    /// When something could not be measured; the sentence says what.
    pub fn run(&self) -> Result<(), Failure> {
        let place = Place { server: Some(self.place.program()?.into()), ..self.place.clone() };
        build_clickhouse()?;
        // Without --write the summary is of this run alone, and its files go away.
        let own = tempfile::tempdir()?;
        let destination = if self.destination.write {
            self.destination.clone()
        } else {
            let results = own.path().join("RESULTS.md");
            fs::write(&results, "")?;
            Destination { write: true, results }
        };
        destination.note_programs(&programs())?;
        let failed = self.measure(&place, &destination);
        let measured = destination.measured()?;
        println!("{}", summary::text(&measured));
        if self.destination.write {
            write_capacity(&self.capacity, &measured)?;
        }
        if failed.is_empty() { Ok(()) } else { Err(format!("could not be measured: {}", failed.join("; ")).into()) }
    }

    /// Runs all parts; gives what failed and why.
    fn measure(&self, place: &Place, destination: &Destination) -> Vec<String> {
        let mut failed = Vec::new();
        for (name, part) in self.parts(place, destination) {
            let begin = Instant::now();
            // The programs that are measured make their starters panic when they do not come up.
            let done = catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|_| Err("it panicked, see above".into()));
            eprintln!("{name}: {:.0} s", begin.elapsed().as_secs_f64());
            if let Err(error) = done {
                eprintln!("{name}: {error}");
                failed.push(format!("{name}: {error}"));
            }
        }
        failed
    }

    fn parts<'a>(&self, place: &'a Place, destination: &'a Destination) -> Vec<Part<'a>> {
        let (size, most) = (self.size(), self.most_records);
        let mut parts: Vec<Part<'a>> = vec![
            ("ingest", Box::new(move || ingest::Args::sized(size, place, destination).run())),
            ("batches", Box::new(move || batches::Args::sized(size, place, destination).run())),
            ("stores", Box::new(move || stores::Args::sized(size, place, destination).run())),
            ("growth", Box::new(move || growth::Args::sized(size, most, place, destination).run())),
            ("exports", Box::new(move || exports::Args::sized(size, place, destination).run())),
            ("pages", Box::new(move || pages::Args::sized(size, place, destination).run())),
            ("start", Box::new(move || start::Args::sized(size, place, destination).run())),
            ("roles", Box::new(move || roles::Args::sized(size, place, destination).run())),
        ];
        // In the file of results, a short run would take the place of a long one: `soak` writes by itself.
        if size == Size::Smoke {
            for store in [soak::Store::Embedded, soak::Store::Clickhouse] {
                parts.push(("soak", Box::new(move || soak::Args::sized(size, store, place, destination).run())));
            }
        }
        parts.retain(|(name, _)| self.only.is_empty() || self.only.iter().any(|only| only == name));
        parts
    }

    fn size(&self) -> Size {
        match (self.smoke, self.small) {
            (true, _) => Size::Smoke,
            (false, true) => Size::Small,
            (false, false) => Size::Full,
        }
    }
}

/// What `render` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct RenderArgs {
    /// The page that is made of the figures.
    #[arg(long, value_name = "FILE", default_value = CAPACITY, hide_default_value = true)]
    capacity: PathBuf,
    #[command(flatten)]
    destination: Destination,
}

impl RenderArgs {
    /// Writes the summary and the page about capacity anew, from the figures that are there.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn run(&self) -> Result<(), Failure> {
        let measured = self.destination.measured()?;
        let results = &self.destination.results;
        fs::write(results, replace_section(&fs::read_to_string(results)?, "summary", &summary::text(&measured))?)?;
        write_capacity(&self.capacity, &measured)
    }
}

fn write_capacity(file: &Path, measured: &Results) -> Result<(), Failure> {
    let page = fs::read_to_string(file)?;
    Ok(fs::write(file, replace_section(&page, capacity::SECTION, capacity::text(measured).trim_end())?)?)
}

/// The versions of what is measured beside the server, as far as it is installed.
fn programs() -> String {
    let clickhouse = catch_unwind(|| ClickHouse::start().query("SELECT version()").trim().to_owned()).ok();
    let python = Command::new("python3")
        .args(["-c", "import duckdb; print(duckdb.__version__)"])
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-tools/python"))
        .output();
    let said = |name: &str, version: Option<String>| version.map(|version| format!("{name} {version}"));
    let known = [
        first_line(Command::new("rustc").arg("--version").output()),
        said("ClickHouse", clickhouse),
        said("DuckDB", first_line(python)),
        first_line(Command::new("psql").arg("--version").output()),
    ];
    format!("Programs: {}.", known.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn first_line(output: std::io::Result<std::process::Output>) -> Option<String> {
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
}
