//! The server as a whole: configuration, command line, routes, API and pages, wired to collector and questions.

pub mod api;
pub mod cli;
pub mod cli_store;
pub mod clickhouse;
pub mod clock;
pub mod config;
pub mod datasets;
pub mod demo;
pub mod error;
pub mod exposition;
pub mod formats;
pub mod health;
pub mod journal_tool;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod pages;
pub mod retention;
pub mod role;
pub mod routes;
pub mod serve;
pub mod server;
pub mod state;
pub mod stop;
pub mod store_move;
pub mod transport;
