//! The way of a record from a probe's request into the store, with nothing acknowledged ever lost.
//!
//! `http` decodes and answers, `journal` makes durable, `drain` takes batches to the `store`. Never queries: the one
//! thing that it asks its store is which of its batches are in it.

mod collector;
pub mod counters;
pub mod directory;
pub mod drain;
pub mod http;
pub mod journal;
pub mod quarantine;
pub mod rate_limit;
pub mod redelivery;
pub mod store;
#[cfg(test)]
mod testing;
mod workshop;

pub use collector::{Accepted, Collector, CollectorSettings, CollectorStats, RunningDrain, StartError};
pub use drain::{DrainSettings, Pending};
