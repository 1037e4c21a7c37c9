//! Answers: readers of both stores, the query engine with its limits, and the questions that the program asks.
//!
//! Never writes records. A question is written once, as a plan over the table `records`; which store answers is decided
//! here and nowhere else.

mod build_order;
mod checksum;
pub mod clickhouse;
pub mod crashes;
pub mod dataset;
mod embedded;
mod error;
mod expiry;
pub mod filter;
mod guilty_of;
pub mod judgement;
mod lately;
pub mod parsers;
pub mod questions;
pub mod regex;
pub mod regroup;
mod rollup;
pub mod rows;
pub mod sizes;
pub mod sql;
mod view;

pub use build_order::build_order;
pub use embedded::EmbeddedReader;
pub use error::Error;
pub use rollup::Window;
pub use view::{Analytics, Limits, View};
