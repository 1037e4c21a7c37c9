//! `telemetrics query` and `telemetrics export`: what the API answers, for people at a terminal.
//!
//! A store that no server uses is served by this process for as long as it takes, on an address of its own: there is one
//! way to every answer. A file is written beside its place and gets its name when it is whole; an answer that is broken
//! off leaves none.

mod client;
mod progress;
mod sink;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::ipc::reader::StreamReader;
use arrow::util::pretty::pretty_format_batches;
use telemetrics_schema::layout::DataDir;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::access::Access;
use crate::access::book::new_token;
use crate::cli_ask::{AskedArgs, ExportArgs, QueryArgs, QueryFormat};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::role::Role;
use crate::serve::{Server, StartError};
use client::Client;
use progress::Progress;
use sink::Sink;

/// Largest answer that is shown as a table, in bytes: all of it has to be in memory to know how wide its columns are.
const TABLE_BYTES_MAX: u64 = 64 << 20;

/// Asks one statement and prints its answer.
///
/// # Errors
/// What the server says, or why there is no server.
pub async fn query(args: &QueryArgs) -> Result<(), StartError> {
    with_server(&args.asked, async |server, client| {
        let url = address(&server, "api/sql", &format!("format={}", args.format.parameter()))?;
        let mut answer = client.post(&url, args.statement.clone()).await?;
        if args.format != QueryFormat::Table {
            let sink = Sink::open(args.output.as_deref())?;
            let progress = Progress::new(sink.is_file());
            return sink.fill(&mut answer, progress).await;
        }
        let bytes = answer.whole(TABLE_BYTES_MAX).await?;
        let batches = StreamReader::try_new(bytes.as_slice(), None)?.collect::<Result<Vec<_>, _>>()?;
        let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
        let text = format!("{}\n{rows} row{}\n", pretty_format_batches(&batches)?, if rows == 1 { "" } else { "s" });
        match &args.output {
            Some(file) => std::fs::write(file, text)?,
            None => io::stdout().write_all(text.as_bytes())?,
        }
        Ok(())
    })
    .await
}

/// Writes all records that pass the filters into a file.
///
/// # Errors
/// What the server says, why there is none, or why the file cannot be written.
pub async fn export(args: &ExportArgs) -> Result<(), StartError> {
    let (filters, query) = (args.filters()?, args.query()?);
    with_server(&args.asked, async |server, client| {
        let file = Some(args.file.as_path()).filter(|file| *file != Path::new("-"));
        let progress = Progress::new(file.is_some()).counting(&client, &server, &filters).await;
        let mut answer = client.get(&address(&server, "api/export", &query)?).await?;
        Sink::open(file)?.fill(&mut answer, progress).await
    })
    .await
}

/// The whole answer of the server, unless it has more than `bytes_max`.
///
/// # Errors
/// What the server says, or that the answer is too large.
pub(crate) async fn whole(
    client: &Client,
    server: &Url,
    (path, query): (&str, &str),
    bytes_max: u64,
) -> Result<Vec<u8>, StartError> {
    client.get(&address(server, path, query)?).await?.whole(bytes_max).await
}

fn address(server: &Url, path: &str, query: &str) -> Result<Url, StartError> {
    let mut url = server.join(path).map_err(|error| format!("{server}: {error}"))?;
    url.set_query(Some(query));
    Ok(url)
}

/// The token in a file.
fn token_of(file: &Path) -> Result<String, StartError> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(text.trim().to_owned())
}

/// Does `task` with the server that is asked: the one that is named, or one of this process.
pub(crate) async fn with_server(
    asked: &AskedArgs,
    task: impl AsyncFnOnce(Url, Client) -> Result<(), StartError>,
) -> Result<(), StartError> {
    if let Some(server) = &asked.server {
        let mut server = server.clone();
        if !server.path().ends_with('/') {
            server.set_path(&format!("{}/", server.path()));
        }
        let token = asked.token_file.as_deref().map(token_of).transpose()?;
        return task(server, Client::new(token.as_deref())?).await;
    }
    let config = asked.store().load()?;
    let is_embedded = config.store.clickhouse().is_none();
    if is_embedded && !DataDir::new(&config.data_dir).records_table().is_dir() {
        return Err(format!("there is no store in {}; --server asks one that runs", config.data_dir.display()).into());
    }
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), tls: None, ..config };
    let role = if is_embedded { Role::Serve } else { Role::Web };
    // Others on this machine may not be those who can read the store.
    let token = new_token()?;
    let access = Access::of_one(&token, Arc::new(SystemClock))?;
    let server = Server::start_for(access, &config, role, Arc::new(SystemClock)).await?;
    let address = Url::parse(&format!("http://{}/", server.address()?)).map_err(|error| error.to_string())?;
    let client = Client::new(Some(&token))?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));
    let outcome = task(address, client).await;
    stop.cancel();
    running.await?;
    outcome
}
