//! An edit of the filters, and how long it takes until the page of causes shows it.

use std::time::Instant;

use serde_json::{Value, json};

use super::asked::{ALL_CRASHES_PATH, Guilty};
use crate::Failure;
use crate::client::Client;

/// Pages that are looked at before an edit counts as lost.
const LOOKS_MAX: usize = 1_000;

/// Seconds from when a filter is sent that takes the most frequent cause away until a page without it has come; then the
/// edit is taken back.
///
/// # Errors
/// When the edit is refused, or never shows.
pub(super) fn seconds_until_visible(client: &mut Client, guilty: &Guilty) -> Result<f64, Failure> {
    let link = format!("guilty_details/{}", guilty.id);
    if !shows(client, &link)? {
        return Err(format!("the page of crashes does not show {}", guilty.function).into());
    }
    let based_on = sequence(client)?;
    let change = json!({"change": "filter_added", "function": guilty.function, "module": guilty.module});
    let body = json!({"based_on": based_on, "changes": [change]}).to_string();
    let begin = Instant::now();
    client.post("/api/curation", body.as_bytes(), crate::client::nowhere)?;
    until(client, &link, false)?;
    let seconds = begin.elapsed().as_secs_f64();
    let entry = sequence(client)?;
    let body = json!({"based_on": entry, "entry": entry}).to_string();
    client.post("/api/curation/undo", body.as_bytes(), crate::client::nowhere)?;
    until(client, &link, true)?;
    Ok(seconds)
}

fn until(client: &mut Client, link: &str, is_there: bool) -> Result<(), Failure> {
    for _ in 0..LOOKS_MAX {
        if shows(client, link)? == is_there {
            return Ok(());
        }
    }
    Err("an edit of the filters never shows".into())
}

/// Whether the page has this link.
fn shows(client: &mut Client, link: &str) -> Result<bool, Failure> {
    let page = client.body(ALL_CRASHES_PATH)?;
    // What stands behind the number ends it: an address goes on with its query, or its quotes end.
    let text = String::from_utf8_lossy(&page);
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_digit());
    Ok(text.match_indices(link).any(|(at, _)| ends(&text[at + link.len()..])))
}

fn sequence(client: &mut Client) -> Result<u64, Failure> {
    let state: Value = serde_json::from_slice(&client.body("/api/curation")?)?;
    state["sequence"].as_u64().ok_or_else(|| "the state of the curation has no sequence".into())
}
