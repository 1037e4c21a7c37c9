//! Data as text for people: cut to a length, with every character visible, numbers and times as they are read.

use telemetrics_schema::TimestampUs;

/// Put behind a text that goes on.
const MORE: char = '…';

/// What a character that shows nothing, or that would rearrange its neighbours, is shown as; `None` for all others.
fn stand_in(c: char) -> Option<StandIn> {
    match c {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).map(StandIn::Picture),
        '\u{7f}' => Some(StandIn::Picture('\u{2421}')),
        // Characters that turn the direction of text could make a record look like another one.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => Some(StandIn::Number(u32::from(c))),
        _ => None,
    }
}

enum StandIn {
    Picture(char),
    Number(u32),
}

fn push_visible(out: &mut String, c: char) {
    match stand_in(c) {
        None => out.push(c),
        Some(StandIn::Picture(picture)) => out.push(picture),
        Some(StandIn::Number(number)) => out.extend(format!("[U+{number:04X}]").chars()),
    }
}

/// `text` on one line, every character visible, at most `max_chars` characters and a sign that it goes on.
#[must_use]
pub fn line(text: &str, max_chars: usize) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    // No character becomes less than one, so that this many are always enough.
    chars.by_ref().take(max_chars).for_each(|c| push_visible(&mut out, c));
    let too_long = out.char_indices().nth(max_chars).map(|(at, _)| at);
    if let Some(at) = too_long {
        out.truncate(at);
    }
    if too_long.is_some() || chars.next().is_some() {
        out.push(MORE);
    }
    out
}

/// The first line of `text` that is not blank, as [`line()`] shows it.
#[must_use]
pub fn first_line(text: &str, max_chars: usize) -> String {
    line(text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default(), max_chars)
}

/// `text` with its lines and tabs, all other characters visible, cut where its HTML would become longer than
/// `max_html_bytes`; and whether it was cut.
#[must_use]
pub fn block(text: &str, max_html_bytes: usize) -> (String, bool) {
    let mut out = String::new();
    let mut escapes_bytes = 0;
    for c in text.chars() {
        let before = out.len();
        match c {
            '\n' | '\t' => out.push(c),
            _ => push_visible(&mut out, c),
        }
        escapes_bytes += escape_bytes(c);
        if out.len() + escapes_bytes > max_html_bytes {
            out.truncate(before);
            return (out, true);
        }
    }
    (out, false)
}

/// Bytes that escaping in HTML adds to a character: `<` becomes `&#60;`.
fn escape_bytes(c: char) -> usize {
    if matches!(c, '<' | '>' | '&' | '"' | '\'') { 4 } else { 0 }
}

/// How many bytes of HTML a text takes.
#[must_use]
pub fn html_bytes(text: &str) -> usize {
    text.len() + text.chars().map(escape_bytes).sum::<usize>()
}

/// `1234567` as `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 record`, `2 records`.
#[must_use]
pub fn records(number: u64) -> String {
    format!("{} record{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A number of bytes in the largest unit of which there is one, with a decimal: `1.5 MiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1_024 {
        return format!("{number} bytes");
    }
    // A decimal needs no more digits.
    #[allow(clippy::cast_precision_loss)]
    let mut value = number as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// The word for a severity, or its number when it has none.
#[must_use]
pub fn severity(severity: i8) -> String {
    match severity {
        1 => "low".to_owned(),
        2 => "med".to_owned(),
        3 => "high".to_owned(),
        4 => "crit".to_owned(),
        other => other.to_string(),
    }
}

/// Where a record came from.
#[must_use]
pub fn source(external: bool) -> &'static str {
    if external { "external" } else { "internal" }
}

/// An instant in UTC, for people and for machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// `2026-11-22 13:45:10`.
    pub text: String,
    /// `2026-11-22T13:45:10Z`; empty for an instant beyond the calendar.
    pub datetime: String,
}

impl From<TimestampUs> for Moment {
    fn from(instant: TimestampUs) -> Self {
        let written = instant.to_string();
        match written.strip_suffix(" UTC") {
            Some(text) => Self { text: text.to_owned(), datetime: format!("{}Z", text.replacen(' ', "T", 1)) },
            None => Self { text: written, datetime: String::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(line("a\0b\n\u{7f}\u{85}\u{202e}c", 40), "a␀b␊␡[U+0085][U+202E]c");
        assert_eq!(block("a\0\r\n\tb", 40), ("a␀␍\n\tb".to_owned(), false));
    }

    #[test]
    fn a_line_is_cut_at_its_length() {
        assert_eq!(line("äöü", 3), "äöü");
        assert_eq!(line("äöüß", 3), "äöü…");
        assert_eq!(line("\u{202e}", 3), "[U+…");
        assert_eq!(line("", 3), "");
    }

    #[test]
    fn the_first_line_is_one_that_says_something() {
        assert_eq!(first_line("\n  \r\nhello\nworld", 40), "hello");
        assert_eq!(first_line("\n", 40), "");
    }

    #[test]
    fn a_block_is_cut_by_the_length_of_its_html() {
        assert_eq!(block("<<<", 15), ("<<<".to_owned(), false));
        assert_eq!(block("<<<", 14), ("<<".to_owned(), true));
    }

    #[test]
    fn escapes_are_part_of_the_length_of_html() {
        assert_eq!((html_bytes("aé"), html_bytes("<a>\"")), (3, 16));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(12_345_678), "12,345,678");
        assert_eq!((records(1), records(2)), ("1 record".to_owned(), "2 records".to_owned()));
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!((bytes(0), bytes(1_023)), ("0 bytes".to_owned(), "1023 bytes".to_owned()));
        assert_eq!((bytes(1_536), bytes(5 << 30)), ("1.5 KiB".to_owned(), "5.0 GiB".to_owned()));
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn a_moment_is_readable_by_both() {
        let moment = Moment::from(TimestampUs::from_s(1_443_573_575));
        assert_eq!((moment.text.as_str(), moment.datetime.as_str()), ("2015-09-30 00:39:35", "2015-09-30T00:39:35Z"));
        assert_eq!(Moment::from(TimestampUs(i64::MAX)).datetime, "");
    }

    proptest! {
        #[test]
        fn nothing_invisible_is_left(text in any::<String>(), limit in 0_usize..200) {
            let shown = line(&text, limit);
            prop_assert!(shown.chars().count() <= limit + 1);
            prop_assert!(!shown.chars().any(char::is_control));
            let (shown, cut) = block(&text, limit);
            let escapes: usize = shown.chars().map(escape_bytes).sum();
            prop_assert!(shown.len() + escapes <= limit);
            prop_assert!(!shown.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')));
            prop_assert!(cut || shown.chars().count() >= text.chars().count());
        }
    }
}
