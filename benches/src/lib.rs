//! Measurements: the load generator, the limits that are measured beside it, and the tables that come of it.
//!
//! How to read the tables stands in `benches/README.md`; the numbers of one machine are in `benches/RESULTS.md`.

pub mod answer;
pub mod asked;
pub mod bare;
pub mod batches;
pub mod building;
pub mod capacity;
pub mod cell;
pub mod client;
pub mod corpus;
pub mod exports;
pub mod figures;
pub mod growth;
pub mod histogram;
pub mod ingest;
pub mod kept;
pub mod limits;
pub mod load;
pub mod machine;
pub mod original;
pub mod paced;
pub mod pages;
pub mod processors;
pub mod procfs;
pub mod profile;
pub mod programs;
pub mod questions;
pub mod readers;
pub mod report;
pub mod requests;
pub mod roles;
pub mod rows;
pub mod sampler;
pub mod scrape;
pub mod served;
pub mod size;
pub mod soak;
pub mod spread;
pub mod start;
pub mod stored;
pub mod stores;
pub mod suite;
pub mod summary;
pub mod tables;
pub mod timeline;
pub mod verdict;

/// What a measurement ends with when it cannot go on: a sentence for the person who started it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
