//! Integration tests of what the other crates' tests rely on.

mod clickhouse;
