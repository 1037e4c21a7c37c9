//! Tests of the embedded store as a whole, with real files.

mod compaction;
mod counts;
mod crash;
mod model;
mod power;
mod retention;
pub(super) mod rig;
