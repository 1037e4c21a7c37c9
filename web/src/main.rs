//! The program: reads the command line and runs what it asks for.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::time::Clock;
use telemetrics_web::cli::{Cli, Command, ConfigCommand, DemoArgs, ServeArgs, ViewsCommand};
use telemetrics_web::cli_ask::ParsersCommand;
use telemetrics_web::cli_store::StoreCommand;
use telemetrics_web::clock::SystemClock;
use telemetrics_web::config::{Config, LogFormat, environment};
use telemetrics_web::parsers::trial;
use telemetrics_web::reload::{Load, Reload};
use telemetrics_web::role::Role;
use telemetrics_web::serve::{Server, StartError, greeting};
use telemetrics_web::{
    access_tool, ask, clickhouse, config_tool, demo, doctor, import, journal_tool, logging, memory, parsers, reparse,
    retention, server, stop, store_move, views_tool,
};

/// How long work on other threads may take after the server has stopped, before it is left behind.
const LAST_TASKS_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(&Cli::parse().into_command()) {
        Ok(code) => code,
        Err(error) => {
            logging::say_last(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, StartError> {
    if !command.is_configured_service() {
        begin(LogFormat::Text);
    }
    match command {
        Command::Serve(args) => serve_configured(args, Role::Serve),
        Command::Collector(args) => serve_configured(args, Role::Collector),
        Command::Web(args) => serve_configured(args, Role::Web),
        Command::Demo(args) => on_runtime(run_demo(args)),
        Command::Config(command) => configuration(command),
        Command::Access(command) => access_tool::run(command),
        Command::Journal(command) => journal_tool::run(command),
        Command::Query(args) => on_runtime(ask::query(args)),
        Command::Export(args) => on_runtime(ask::export(args)),
        Command::Parsers(ParsersCommand::Test(args)) => on_runtime(trial::run(args)),
        Command::Doctor(args) => with_runtime(doctor::run(args, Arc::new(SystemClock))),
        Command::Import(args) => {
            on_runtime(async { import::run(&args.store.load()?, args, Arc::new(SystemClock)).await })
        }
        Command::Migrate(args) => on_runtime(async { clickhouse::migrate(&args.load()?).await }),
        Command::Reparse(args) => on_runtime(async {
            let config = args.store.load()?;
            reparse::run(&config, args.days(), Arc::new(SystemClock)).await
        }),
        Command::Retention(args) => on_runtime(async {
            print!("{}", retention::dry_run(&args.store.load()?, SystemClock.now()).await?);
            Ok(())
        }),
        Command::Views(ViewsCommand::Check(args)) => views_tool::run(args),
        Command::Store(StoreCommand::Move(args)) => {
            on_runtime(async { store_move::run(&args.load()?, Arc::new(SystemClock)).await })
        }
    }
}

/// What everything begins with that does more than read the configuration.
fn begin(format: LogFormat) {
    logging::start(format);
    server::allow_connections();
}

fn configuration(command: &ConfigCommand) -> Result<ExitCode, StartError> {
    match command {
        ConfigCommand::Check(args) => {
            args.load()?;
            println!("the configuration is valid");
        }
        ConfigCommand::Show(args) => {
            print!("{}", config_tool::show(args.config.as_deref(), args.overrides(environment::variables())?)?);
        }
        ConfigCommand::Example => print!("{}", config_tool::EXAMPLE),
    }
    Ok(ExitCode::SUCCESS)
}

fn on_runtime(task: impl Future<Output = Result<(), StartError>>) -> Result<ExitCode, StartError> {
    with_runtime(async { task.await.map(|()| ExitCode::SUCCESS) })
}

fn with_runtime(task: impl Future<Output = Result<ExitCode, StartError>>) -> Result<ExitCode, StartError> {
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(task);
    // What is still under way on other threads was given its time; what was acknowledged is in the journal.
    runtime.shutdown_timeout(LAST_TASKS_TIMEOUT);
    outcome
}

/// Serves what can be read anew on SIGHUP.
fn serve_configured(args: &ServeArgs, role: Role) -> Result<ExitCode, StartError> {
    let config = args.load()?;
    begin(config.log.format);
    let args = args.clone();
    on_runtime(serve(&config, role, Some(Box::new(move || args.load()))))
}

async fn serve(config: &Config, role: Role, load: Option<Load>) -> Result<(), StartError> {
    let stop = stop::on_signal()?;
    let server = Server::start(config, role, Arc::new(SystemClock)).await?;
    if let Some(load) = load {
        Reload::new(server.reloadable(), config.clone(), load).start(stop.clone())?;
    }
    memory::forget_start();
    print!("{}", greeting(config, role, server.address()?));
    server.run(stop).await;
    Ok(())
}

async fn run_demo(args: &DemoArgs) -> Result<(), StartError> {
    let directory = tempfile::Builder::new().prefix("telemetrics-demo-").tempdir()?;
    let config = args.config(directory.path());
    println!("inventing {} records ...", args.records);
    let data = DataDir::new(directory.path());
    demo::add_views(&config.views())?;
    let parsers = parsers::load(&config)?.for_store();
    demo::fill(&data, config.collector_number, args.records, args.seed, SystemClock.now(), parsers).await?;
    serve(&config, Role::Serve, None).await
}
