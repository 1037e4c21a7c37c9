//! The program as its users meet it: the real process, real requests, a real ClickHouse and a real browser.

mod bad_input;
mod browser;
mod captures;
mod durability;
mod html;
mod outages;
mod pages;
mod raw_bytes;
mod records_api;
mod seeds;
mod servers;
mod start;
mod views;
