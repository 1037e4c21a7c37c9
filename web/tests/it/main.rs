//! The program as its users meet it: the real process, real requests, a real ClickHouse and a real browser.

mod bad_input;
mod batches;
mod browser;
mod captures;
mod collectors;
mod durability;
mod html;
mod journal_command;
mod metrics;
mod migrations;
mod outages;
mod pages;
mod quarantine;
mod raw_bytes;
mod reaching;
mod records_api;
mod redelivery;
mod retention;
mod roles;
mod seeds;
mod servers;
mod start;
mod views;
