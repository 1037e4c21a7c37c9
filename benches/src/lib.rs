//! Measurements: the load generator, the limits that are measured beside it, and the tables that come of it.
//!
//! How to read the tables stands in `benches/README.md`; the numbers of one machine are in `benches/RESULTS.md`.

pub mod answer;
pub mod asked;
pub mod bare;
pub mod batches;
pub mod cell;
pub mod corpus;
pub mod histogram;
pub mod idle;
pub mod ingest;
pub mod limits;
pub mod load;
pub mod machine;
pub mod procfs;
pub mod profile;
pub mod programs;
pub mod questions;
pub mod report;
pub mod requests;
pub mod rows;
pub mod sampler;
pub mod scrape;
pub mod stored;
pub mod stores;
pub mod tables;
pub mod verdict;

/// What a measurement ends with when it cannot go on: a sentence for the person who started it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
