//! Integration tests of the answers, over real stores.

mod clickhouse;
mod conformance;
mod judgement;
mod machines;
