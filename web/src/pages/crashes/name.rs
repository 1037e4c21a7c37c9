//! Frames as pages name them, and the way to declare one never guilty.

use telemetrics_analytics::crashes::Guilty;
use telemetrics_schema::curation::Frame;
use telemetrics_schema::payload::{Filters, is_always_filtered};

use super::EDIT;
use crate::pages::{address, text};

/// Longest function and module that a page shows, in characters.
const FUNCTION_CHARS: usize = 90;
const MODULE_CHARS: usize = 60;
/// Longest place in the source that a page shows, in characters.
const SOURCE_CHARS: usize = 60;
/// Longest address that declares a frame never guilty, in bytes: a page has many frames.
const FILTER_ADDRESS_BYTES: usize = 600;
/// What a row of a frame takes of a page beside its texts, in bytes.
const ROW_BYTES: usize = 160;
/// What stands for the guilty of crashes whose stack is not there any more.
const UNKNOWN: &str = "(stack not known)";

/// Function and module, cut and made visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pages) struct Name {
    pub(in crate::pages) function: String,
    pub(in crate::pages) module: String,
}

impl Name {
    pub(in crate::pages) fn new(function: &str, module: &str) -> Self {
        let function = if function.is_empty() { UNKNOWN } else { function };
        Self { function: text::line(function, FUNCTION_CHARS), module: text::line(module, MODULE_CHARS) }
    }

    pub(super) fn html_bytes(&self) -> usize {
        text::html_bytes(&self.function) + text::html_bytes(&self.module)
    }
}

impl From<&Guilty> for Name {
    fn from(guilty: &Guilty) -> Self {
        Self::new(&guilty.function, &guilty.module)
    }
}

impl From<&Frame> for Name {
    fn from(frame: &Frame) -> Self {
        Self::new(&frame.function, &frame.module)
    }
}

/// One frame of a stack in a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pages) struct FrameRow {
    pub(in crate::pages) name: Name,
    pub(in crate::pages) source: String,
    pub(in crate::pages) is_guilty: bool,
    /// Declared never guilty, by users or for every crash.
    pub(in crate::pages) is_filtered: bool,
    /// Where a reader declares it never guilty.
    pub(in crate::pages) filter: Option<String>,
}

/// As many frames (function, module, source) as fit into `room_bytes` of HTML, which become fewer, and how many do not.
pub(in crate::pages) fn frame_rows<'a>(
    frames: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    guilty: Option<usize>,
    filters: &Filters,
    room_bytes: &mut usize,
) -> (Vec<FrameRow>, usize) {
    let (mut rows, mut left_out) = (Vec::new(), 0);
    for (at, (function, module, source)) in frames.into_iter().enumerate() {
        let row = FrameRow {
            name: Name::new(function, module),
            source: text::line(source, SOURCE_CHARS),
            is_guilty: guilty == Some(at),
            is_filtered: filters.contains(function, module),
            filter: filter_address(function, module, filters),
        };
        let bytes = row.html_bytes();
        if left_out == 0 && bytes <= *room_bytes {
            *room_bytes -= bytes;
            rows.push(row);
        } else {
            left_out += 1;
        }
    }
    (rows, left_out)
}

/// The address of the preview of an edit that declares a frame never guilty; `None` where that cannot be said, or the
/// address would be long.
pub(in crate::pages) fn filter_address(function: &str, module: &str, filters: &Filters) -> Option<String> {
    let can_be_filtered = !function.is_empty() && !is_always_filtered(function) && !filters.contains(function, module);
    let pairs = [("function", function), ("module", module)];
    let short = function.len() + module.len() <= FILTER_ADDRESS_BYTES;
    let address = (can_be_filtered && short).then(|| address::with_query(&format!("{EDIT}add"), pairs));
    address.filter(|address| address.len() <= FILTER_ADDRESS_BYTES)
}

impl FrameRow {
    fn html_bytes(&self) -> usize {
        let link = self.filter.as_ref().map_or(0, |address| text::html_bytes(address));
        ROW_BYTES + self.name.html_bytes() + text::html_bytes(&self.source) + link
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_shown_as_far_as_there_is_room() {
        let filters = Filters::from_iter([("abort()", "libc.so.6")]);
        let frames =
            [("abort()", "libc.so.6", ""), ("f<&>()", "m n", "a.c:7"), ("_start()", "m", ""), ("g()", "m", "")];
        let mut room_bytes = 10_000;
        let (rows, left_out) = frame_rows(frames, Some(1), &filters, &mut room_bytes);
        let shown: Vec<_> = rows.iter().map(|row| (row.is_guilty, row.is_filtered, row.filter.as_deref())).collect();
        let add = "/telemetryui/crashes/guilty_edit/add";
        assert_eq!(shown[0], (false, true, None));
        assert_eq!(shown[1], (true, false, Some(format!("{add}?function=f%3C%26%3E%28%29&module=m+n").as_str())));
        assert_eq!(shown[2], (false, true, None));
        let taken = 10_000 - room_bytes;
        assert_eq!((left_out, frame_rows(frames, None, &filters, &mut (taken - 1)).1), (0, 1));
        let long = "x".repeat(FILTER_ADDRESS_BYTES);
        assert_eq!(frame_rows([(long.as_str(), "m", "")], None, &filters, &mut 10_000).0[0].filter, None);
    }
}
