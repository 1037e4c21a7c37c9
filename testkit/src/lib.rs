//! What tests of the other crates share: the real server, a real ClickHouse, PostgreSQL, browser and nginx, the programs of
//! analysts, a small disk, captured requests, and HTTP byte for byte.
//!
//! Everything here panics with a clear message instead of returning errors: a missing part fails the test.

pub mod browser;
pub mod captures;
pub mod chance;
pub mod clickhouse;
pub mod disk;
pub mod document;
pub mod http;
pub mod nginx;
pub mod postgres;
pub mod process;
pub mod python;
pub mod request;
pub mod server;
pub mod tls;

pub use browser::Browser;
pub use captures::{Capture, captures};
pub use chance::Chance;
pub use clickhouse::ClickHouse;
pub use disk::SmallDisk;
pub use nginx::Nginx;
pub use postgres::Postgres;
pub use process::{Process, wait_until};
pub use python::Python;
pub use request::Post;
pub use server::Server;
pub use tls::{Authority, TlsFront};

use std::path::{Path, PathBuf};

/// The directory of the workspace.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the repository").to_owned()
}
