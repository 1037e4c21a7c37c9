//! Answers in the format of the reader's tools: one way from the batches of a question to the bytes of a response.
//!
//! A question gives [`Rows`](telemetrics_analytics::rows::Rows). A job of the [`Workers`] takes its batches one after the
//! other, lets the file of the format turn them into bytes, compresses those when the client likes that, and hands them to
//! the connection through a queue of a few pieces: nothing goes on faster than the client reads, and memory does not grow
//! with the answer. A client that goes away drops the other end of the queue, and the job ends with its query.
//!
//! What fits into the first piece is an answer with a length. Until that piece is full, an error has its own status; after
//! it, an error breaks the answer off where it is, also inside compression, so that what is short never looks whole.

mod any;
mod arrow_stream;
mod body;
pub mod choice;
mod counts;
mod csv;
pub mod csv_cell;
mod fault;
mod json;
mod parquet_file;
mod sink;
mod table;
mod workers;

pub(crate) use any::Values;
pub use body::{Deadline, Form, answer, answer_within};
pub use choice::{Choice, Coding, Format};
pub use counts::AnswerCounts;
pub use workers::{EXPORTS_MAX, Slot, Workers};
