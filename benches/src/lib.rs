//! Measurements: the load generator, the limits that are measured beside it, and the tables that come of it.
//!
//! How to read the tables stands in `benches/README.md`; the numbers of one machine are in `benches/RESULTS.md`.

pub mod answer;
pub mod bare;
pub mod cell;
pub mod histogram;
pub mod ingest;
pub mod limits;
pub mod load;
pub mod machine;
pub mod procfs;
pub mod programs;
pub mod report;
pub mod requests;
pub mod sampler;
pub mod scrape;
pub mod stored;

/// What a measurement ends with when it cannot go on: a sentence for the person who started it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
