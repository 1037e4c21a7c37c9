//! One cell of a CSV file: quoted as RFC 4180 says, and never a formula.
//!
//! A spreadsheet runs a cell that begins with one of six characters, and what probes send is not to be trusted. Such a
//! text gets an apostrophe before it, which spreadsheets take for "this is text".

/// What a spreadsheet may take for the beginning of a formula.
const FORMULA_BEGINNINGS: [u8; 6] = [b'=', b'+', b'-', b'@', b'\t', b'\r'];

/// Ends a row.
pub const ROW_END: &[u8] = b"\r\n";

/// Appends `text` as a cell, without the comma around it.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    let is_formula = text.as_bytes().first().is_some_and(|first| FORMULA_BEGINNINGS.contains(first));
    let needs_quotes = needs_quotes(text.as_bytes());
    if needs_quotes {
        out.push(b'"');
    }
    if is_formula {
        out.push(b'\'');
    }
    if needs_quotes {
        write_doubling_quotes(text, out);
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// The text of a cell that [`write_text`] made, after its quotes were read.
pub(crate) fn unprotected(cell: &str) -> &str {
    let is_formula = |text: &&str| text.as_bytes().first().is_some_and(|first| FORMULA_BEGINNINGS.contains(first));
    cell.strip_prefix('\'').filter(is_formula).unwrap_or(cell)
}

/// In pieces without an early end in each, which the compiler makes one instruction for many bytes of.
fn needs_quotes(text: &[u8]) -> bool {
    let is_special = |byte: &u8| matches!(byte, b'"' | b',' | b'\r' | b'\n');
    text.chunks(64).any(|piece| piece.iter().fold(false, |found, byte| found | is_special(byte)))
}

fn write_doubling_quotes(text: &str, out: &mut Vec<u8>) {
    for (i, part) in text.split('"').enumerate() {
        if i > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell(text: &str) -> String {
        let mut out = Vec::new();
        write_text(text, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    /// What a reader of RFC 4180 makes of a cell.
    fn read(cell: &str) -> String {
        match cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inner) => inner.replace("\"\"", "\""),
            None => cell.to_owned(),
        }
    }

    #[test]
    fn only_what_has_to_be_is_quoted() {
        for (text, expected) in [
            ("", ""),
            ("plain text; with é and \u{1f980}", "plain text; with é and \u{1f980}"),
            ("a,b", "\"a,b\""),
            ("a\nb", "\"a\nb\""),
            ("a\rb", "\"a\rb\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("\"", "\"\"\"\""),
            ("nul\0", "nul\0"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
        let late = format!("{},", "a".repeat(1_000));
        assert_eq!(cell(&late), format!("\"{late}\""));
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("=cmd|' /C calc'!A0,\"x\"", "\"'=cmd|' /C calc'!A0,\"\"x\"\"\""),
            ("a=1", "a=1"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_reader_gets_the_text(text in "[-=+@\t\r\n\",a'é]{0,80}") {
            let got = read(&cell(&text));
            let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text };
            prop_assert_eq!(got, text);
        }
    }
}
