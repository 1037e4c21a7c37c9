//! The program as its users meet it: the real process, real requests, a real ClickHouse and a real browser.

mod bad_input;
mod batches;
mod browser;
mod captures;
mod durability;
mod html;
mod journal_command;
mod kill;
mod load;
mod maintenance;
mod metrics;
mod outages;
mod pages;
mod quarantine;
mod raw_bytes;
mod records_api;
mod redelivery;
mod roles;
mod seeds;
mod servers;
mod space;
mod start;
mod stop;
mod views;
