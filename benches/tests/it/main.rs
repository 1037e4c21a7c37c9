//! The load generator against the real server, and the whole report over next to nothing.

mod smoke;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use telemetrics_benches::load::{Load, Mode};
use telemetrics_benches::requests::{Generation, Requests};
use telemetrics_benches::scrape::Metrics;
use telemetrics_benches::stored;
use telemetrics_web::clock::SystemClock;
use telemetrics_web::config::Config;
use telemetrics_web::role::Role;
use telemetrics_web::serve::Server;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A server in this process, on a thread of its own.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Running {
    fn start(directory: &Path) -> Self {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let config = Config { listen, data_dir: directory.to_owned(), ..Config::default() };
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(Server::start(&config, Role::Serve, Arc::new(SystemClock))).expect("a server");
        let (address, stop) = (server.address().expect("an address"), CancellationToken::new());
        let stopped = stop.clone();
        Self { address, stop, thread: std::thread::spawn(move || runtime.block_on(server.run(stopped))) }
    }

    fn stop(self) {
        self.stop.cancel();
        self.thread.join().expect("the server's thread");
    }
}

#[test]
fn every_request_is_a_new_record_that_a_query_finds() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Running::start(directory.path());
    let mut created = 0;
    for (salt, generation) in [(1, Generation::V2), (2, Generation::V3)] {
        for mode in [Mode::KeepAlive, Mode::PerRecord] {
            let requests = Requests::new(generation, salt * 10 + u64::from(mode == Mode::PerRecord));
            let load = Load { address: server.address, requests, mode, connections: 4 };
            let outcome = load.run(Duration::from_millis(200)).expect("an outcome");
            assert!(outcome.created > 0 && outcome.refused == 0 && outcome.broken == 0, "{outcome:?}");
            created += outcome.created;
        }
    }
    let metrics = Metrics::of(server.address).expect("metrics");
    assert_eq!(metrics.get("accepted_records_total").to_string(), created.to_string());
    for none in ["quarantined_records_total", "redelivered_records_total"] {
        assert!(metrics.get(none) < 0.5, "{none}");
    }
    server.stop();
    assert_eq!(stored::records(directory.path()).expect("a store"), created);
}
