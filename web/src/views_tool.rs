//! `telemetrics views check`: which files of a directory are views, and what is wrong with the others.

use std::process::ExitCode;
use std::sync::Arc;

use telemetrics_analytics::{Analytics, EmbeddedReader, Limits};
use telemetrics_collector::store::EmbeddedStore;
use telemetrics_schema::CollectorNumber;
use telemetrics_schema::recent::Recent;

use crate::api::sql::Statements;
use crate::cli::{ServeArgs, ViewsArgs};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::serve::StartError;
use crate::views::{self, Catalog, VIEWS_MAX};

/// Says what is in the directory; the code is 1 when a file is broken.
///
/// # Errors
/// When there is no such directory, or the configuration is not valid.
pub fn run(args: &ViewsArgs) -> Result<ExitCode, StartError> {
    let config = ServeArgs { config: args.config.clone(), ..ServeArgs::default() }.load()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let catalog = runtime.block_on(check(&config, args))?;
    print!("{}", report(&catalog));
    let is_sound = catalog.left_out == 0 && catalog.views.iter().all(|listed| listed.view.is_ok());
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plans against tables without rows: what a store holds makes no difference to a plan.
async fn check(config: &Config, args: &ViewsArgs) -> Result<Catalog, StartError> {
    let directory = args.directory.clone().unwrap_or_else(|| config.views());
    if !directory.is_dir() {
        return Err(format!("there is no directory {}", directory.display()).into());
    }
    let empty = tempfile::Builder::new().prefix("telemetrics-views-").tempdir()?;
    let collector = CollectorNumber::default();
    let store = EmbeddedStore::open(empty.path(), collector).await?;
    let reader = EmbeddedReader::open(empty.path(), collector, Recent::default()).await?;
    drop(store);
    let analytics = Arc::new(Analytics::embedded(reader, Limits::default())?);
    let statements = Statements::start(&config.sql, analytics)?;
    Ok(views::look(directory, statements, Arc::new(SystemClock)).await)
}

/// A line for each file.
fn report(catalog: &Catalog) -> String {
    let line = |listed: &views::Listed| match &listed.view {
        Ok(view) => format!("{}: {}\n", listed.file, view.title),
        Err(reason) => format!("{}: broken: {reason}\n", listed.file),
    };
    let left_out = (catalog.left_out > 0)
        .then(|| format!("{} files are beyond the first {VIEWS_MAX}, and are not shown\n", catalog.left_out));
    catalog.views.iter().map(line).chain(left_out).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::Listed;

    #[test]
    fn the_report_names_every_file() {
        let broken = Listed { name: "a".to_owned(), file: "A.toml".to_owned(), view: Err("no".to_owned()) };
        let catalog = Catalog { views: vec![broken], left_out: 2 };
        assert_eq!(report(&catalog), "A.toml: broken: no\n2 files are beyond the first 24, and are not shown\n");
    }
}
