//! `building`: how long this workspace takes to compile, from nothing and after a change.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime};

use crate::figures::Figure;
use crate::programs::Place;
use crate::report::{Destination, Table};
use crate::{Failure, machine};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What is changed between two builds: a file of the crate that all others need, and one of the last.
const CHANGES: [(&str, &str); 2] = [("schema", "schema/src/lib.rs"), ("web", "web/src/lib.rs")];

/// What `building` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where it is compiled: a directory is made there, and deleted [default: beside this program].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    destination: Destination,
}

/// One line of the table.
struct Built {
    profile: &'static str,
    /// The crate that was changed; `None` from nothing.
    changed: Option<&'static str>,
    seconds: f64,
}

impl Args {
    /// Measures and publishes the table.
    ///
    /// # Errors
    /// When the workspace does not compile.
    pub fn run(&self) -> Result<(), Failure> {
        let directory = Place { server: None, data_dir: self.data_dir.clone() }.directory()?;
        let facts = machine::facts(directory.path())?;
        // What comes from elsewhere is no matter of the compiler.
        cargo(&["fetch"], directory.path())?;
        let mut built = Vec::new();
        for (profile, arguments) in [("release", &["--release"][..]), ("dev", &[])] {
            let arguments = [&["build", "--package", "telemetrics-web"], arguments].concat();
            built.push(Built { profile, changed: None, seconds: cargo(&arguments, directory.path())? });
            for (changed, file) in CHANGES {
                File::options().append(true).open(Path::new(WORKSPACE).join(file))?.set_modified(SystemTime::now())?;
                built.push(Built { profile, changed: Some(changed), seconds: cargo(&arguments, directory.path())? });
            }
        }
        self.destination.publish("building", &facts, table(&built).text(), &figures(&built))
    }
}

/// Runs cargo with a target directory of its own; gives the seconds that it took.
fn cargo(arguments: &[&str], target: &Path) -> Result<f64, Failure> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).arg("--locked").current_dir(WORKSPACE).env("CARGO_TARGET_DIR", target);
    let begin = Instant::now();
    if !command.status()?.success() {
        return Err(format!("cargo {} failed", arguments.join(" ")).into());
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn table(built: &[Built]) -> Table {
    let mut table = Table::new(&["profile", "compiled", ">s"]);
    for line in built {
        let what = line.changed.map_or_else(|| "everything".to_owned(), |name| format!("after a change in `{name}`"));
        table.row([line.profile.to_owned(), what, format!("{:.0}", line.seconds)]);
    }
    table
}

fn figures(built: &[Built]) -> Vec<Figure> {
    let figure = |line: &Built| {
        let after = line.changed.unwrap_or("nothing");
        let what = format!("seconds of a build ({}) after {after}", line.profile);
        Figure::new(format!("{} {after}", line.profile), what, line.seconds, "s")
    };
    built.iter().map(figure).collect()
}
