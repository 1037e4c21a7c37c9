//! What probes talk to: one handler for every ingest route, and the answers it gives.
//!
//! The handlers are here, the URLs stand in the one table of the binary.

mod answer;
mod ingest;

pub use answer::{ErrorBody, Refusal};
pub use ingest::{Ingest, post_record};
