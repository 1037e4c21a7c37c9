//! What probes talk to: one handler for every ingest route, and the answers it gives.
//!
//! The handlers are here, the URLs stand in the one table of the binary.

mod admission;
mod answer;
mod aside;
mod batch;
mod encoding;
mod form;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ingest;
mod received;

pub use admission::{Admission, Admitted};
pub use answer::{ErrorBody, Refusal};
pub use aside::OnInvalid;
pub use batch::{BATCHES_MAX, Batches};
pub use ingest::{Ingest, post_record};
