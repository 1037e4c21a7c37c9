//! The program: reads the command line and runs what it asks for.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::time::Clock;
use telemetrics_web::cli::{Cli, Command, DemoArgs};
use telemetrics_web::clock::SystemClock;
use telemetrics_web::config::Config;
use telemetrics_web::serve::{Server, StartError, greeting};
use telemetrics_web::{demo, logging, stop};

fn main() -> ExitCode {
    let command = Cli::parse().into_command();
    logging::start();
    let outcome = tokio::runtime::Runtime::new().map_err(StartError::from).and_then(|runtime| {
        runtime.block_on(async {
            match command {
                Command::Serve(args) => serve(&args.load()?).await,
                Command::Demo(args) => run_demo(&args).await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("telemetrics: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: &Config) -> Result<(), StartError> {
    let stop = stop::on_signal()?;
    let server = Server::start(config, Arc::new(SystemClock)).await?;
    print!("{}", greeting(config, server.address()?));
    server.run(stop).await;
    Ok(())
}

async fn run_demo(args: &DemoArgs) -> Result<(), StartError> {
    let directory = tempfile::Builder::new().prefix("telemetrics-demo-").tempdir()?;
    let config = args.config(directory.path());
    println!("inventing {} records ...", args.records);
    let data = DataDir::new(directory.path());
    demo::fill(&data, config.collector_number, args.records, args.seed, SystemClock.now()).await?;
    serve(&config).await
}
