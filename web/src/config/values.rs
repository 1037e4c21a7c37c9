//! Checks and conversions that several settings share.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
use telemetrics_schema::CollectorNumber;

use super::load::Value;
use super::store::ClickHouse;
use super::{Config, OnInvalid};

pub(super) fn texts(items: &[Value], max_items: usize, max_chars: usize) -> Option<Vec<String>> {
    let texts: Vec<String> = items
        .iter()
        .map(|item| match item {
            Value::Text(text) if is_text(text, max_chars) && text.trim() == text => Some(text.clone()),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let different = texts.iter().enumerate().all(|(at, text)| !texts[..at].contains(text));
    ((1..=max_items).contains(&texts.len()) && different).then_some(texts)
}

/// Longest text of a network: one of IPv6 that is written out.
const NETWORK_CHARS: usize = 64;

/// Networks without the bits of hosts in them, so that equal ones are the same.
pub(super) fn networks(items: &[Value], max_items: usize) -> Option<Vec<IpNet>> {
    let read = |text: String| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let networks: Vec<IpNet> = texts(items, max_items, NETWORK_CHARS)?.into_iter().map(read).collect::<Option<_>>()?;
    let networks: Vec<IpNet> = networks.iter().map(IpNet::trunc).collect();
    let different = networks.iter().enumerate().all(|(at, network)| !networks[..at].contains(network));
    different.then_some(networks)
}

pub(super) fn is_text(text: &str, max_chars: usize) -> bool {
    (1..=max_chars).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

pub(super) fn with_server(config: &mut Config, change: impl FnOnce(&mut ClickHouse)) {
    // The address is applied first, and it is required: `load` has refused a section without one.
    if let Some(server) = config.store.clickhouse_mut() {
        change(server);
    }
}

/// Sizes are limited far below what an address space of 32 bits holds, so that the conversion never cuts.
pub(super) fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Days are limited far below.
pub(super) fn to_days(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The range of every such setting ends at 100.
pub(super) fn to_percent(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(100)
}

pub(super) fn to_on_invalid(word: &str) -> OnInvalid {
    match word {
        "reject" => OnInvalid::Reject,
        "quarantine" => OnInvalid::Quarantine,
        _ => OnInvalid::Auto,
    }
}

pub(super) fn to_positive(number: u64) -> NonZeroU32 {
    // The range of every such setting begins at 1.
    u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX)
}

pub(super) fn to_collector(number: u64) -> Option<CollectorNumber> {
    u8::try_from(number).ok().and_then(CollectorNumber::new)
}

/// The text as the file would say it.
pub(super) fn quoted(text: impl std::fmt::Display) -> String {
    format!("\"{}\"", text.to_string().replace('\\', "\\\\").replace('"', "\\\""))
}
