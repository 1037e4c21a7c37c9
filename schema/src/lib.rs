//! What a record is: its columns, how it comes over the wire, how it is kept in memory and in files.
//!
//! Pure: no I/O, no async, no ambient clock or randomness. Every other crate of the workspace depends on this one.

pub mod answer;
pub mod attributes;
pub mod batch;
pub mod codec;
pub mod columns;
pub mod curation;
pub mod ddl;
pub mod expiry;
pub mod id;
pub mod layout;
pub mod migrations;
pub mod payload;
pub mod recent;
pub mod record;
pub mod reference;
pub mod retention;
pub mod rollups;
pub mod time;
pub mod wire;

#[cfg(feature = "generator")]
pub mod generator;

pub use id::{CollectorNumber, IdSequence, RecordId};
pub use record::{Record, Report};
pub use time::TimestampUs;
