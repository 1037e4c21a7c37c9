//! Reads records out of ClickHouse through DataFusion: the largest parts of a plan that both sides answer equally are
//! sent as one SQL text, the rest runs here.
//!
//! A function, operator or name that no list in this module allows is never sent, so that a question has the same
//! answer as over the embedded store.

mod allowed;
mod blocks;
mod client;
mod dialect;
mod error;
mod executor;
mod functions;
mod groups;
mod literals;
mod or_null;
mod parentheses;
mod pushdown;
mod rollups;
mod types;

pub use client::{ClickHouseSettings, Reader, records_table, session_state};
pub use error::ClickHouseError;
pub(crate) use rollups::parts as rollup_parts;
