//! Conformance: one corpus in both stores, and every question has equal answers, whatever its parameters.
//!
//! What both stores are compared with is each other. `TELEMETRICS_TEST_RECORDS` sets the size of the corpus.

mod asked;
mod causes;
mod corpus;
mod counted;
mod explain;
mod listed;
mod looked_up;
mod plans;
mod statements;
mod stores;
mod turns;
mod wire;
