//! The rate limits of some telemetry ids, as the file gives them and as it would say them.

use std::num::NonZeroU32;

use super::limits::{BURST_MAX, RATE_MAX};
use super::load::Value;
use super::settings::{TELEMETRY_ID_CHARS, TELEMETRY_IDS_MAX};
use super::values::{is_text, quoted, to_positive};

/// The rate limit of one telemetry id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdLimit {
    /// The id.
    pub telemetry_id: String,
    /// Records per second in the long run; 0 for no limit.
    pub records_per_s: u32,
    /// Records that may come at once after a pause, where it is another number than that of all ids.
    pub burst_records: Option<NonZeroU32>,
}

/// What is allowed, as the end of the sentence "`key` must be ...".
pub(super) fn allowed() -> String {
    format!(
        "a list of at most {TELEMETRY_IDS_MAX} limits as {{ telemetry_id = \"x\", records_per_s = 100, burst_records = 500 \
         }}, with `records_per_s` from 0 to {RATE_MAX} and, where it is another one than that of all ids, `burst_records` \
         from 1 to {BURST_MAX}"
    )
}

/// The limits of a list.
///
/// # Errors
/// Which limit is wrong and why, as the end of the sentence "`key` ...".
pub(super) fn limits(items: &[Value]) -> Result<Vec<IdLimit>, String> {
    if items.len() > TELEMETRY_IDS_MAX {
        return Err(format!("must be {}, not {}", allowed(), items.len()));
    }
    let mut limits: Vec<IdLimit> = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let limit = limit(item).map_err(|reason| format!("has a wrong limit {}: {reason}", at + 1))?;
        if limits.iter().any(|other| other.telemetry_id == limit.telemetry_id) {
            return Err(format!("has two limits for {}", limit.telemetry_id));
        }
        limits.push(limit);
    }
    Ok(limits)
}

fn limit(item: &Value) -> Result<IdLimit, String> {
    let Value::Table(entries) = item else {
        return Err(format!("it must be as {{ telemetry_id = \"x\", records_per_s = 1 }}, not {}", item.shown()));
    };
    let (mut telemetry_id, mut rate, mut burst_records) = (None, None, None);
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("telemetry_id", Value::Text(text)) if is_text(text, TELEMETRY_ID_CHARS) => {
                telemetry_id = Some(text.clone());
            }
            ("records_per_s", Value::Number(number)) => rate = Some(within(key, *number, 0, RATE_MAX)?),
            ("burst_records", Value::Number(number)) => {
                burst_records = Some(to_positive(within(key, *number, 1, BURST_MAX)?));
            }
            ("telemetry_id" | "records_per_s" | "burst_records", value) => {
                return Err(format!("`{key}` cannot be {}", value.shown()));
            }
            _ => return Err(format!("it has no key `{key}`")),
        }
    }
    match (telemetry_id, rate.map(u32::try_from)) {
        (Some(telemetry_id), Some(Ok(records_per_s))) => Ok(IdLimit { telemetry_id, records_per_s, burst_records }),
        _ => Err("it must have `telemetry_id` and `records_per_s`".to_owned()),
    }
}

fn within(key: &str, number: i128, min: u64, max: u64) -> Result<u64, String> {
    let found = u64::try_from(number).ok().filter(|number| (min..=max).contains(number));
    found.ok_or_else(|| format!("`{key}` must be a whole number from {min} to {max}, not {number}"))
}

/// The limits as the file would say them.
pub(super) fn shown(limits: &[IdLimit]) -> String {
    let limits: Vec<String> = limits.iter().map(shown_limit).collect();
    format!("[{}]", limits.join(", "))
}

fn shown_limit(limit: &IdLimit) -> String {
    let id = quoted(&limit.telemetry_id);
    let burst = limit.burst_records.map_or_else(String::new, |burst| format!(", burst_records = {burst}"));
    format!("{{ telemetry_id = {id}, records_per_s = {}{burst} }}", limit.records_per_s)
}
