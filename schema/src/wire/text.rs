//! Bytes that came over the wire as text: UTF-8 where they are, else Latin-1.

use std::borrow::Cow;

/// The text of `bytes`: UTF-8 when they decode, else Latin-1, where every byte is the character of that number.
///
/// Never fails and never drops a byte; NUL and other control bytes are characters like any other.
#[must_use]
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(latin1(bytes)),
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_stays_and_everything_else_is_latin1_as_a_whole() {
        let cases: [(&[u8], &str); 7] = [
            (b"", ""),
            (b"plain\0 \x01", "plain\0 \u{1}"),
            ("größer \u{1f980}".as_bytes(), "größer \u{1f980}"),
            (b"gr\xf6\xdfer", "größer"),
            (b"\xc3\xa9 and \xe9", "\u{c3}\u{a9} and \u{e9}"),
            (b"\x80\xff", "\u{80}\u{ff}"),
            // A surrogate is not a character, so its three bytes are not UTF-8.
            (b"\xed\xa0\x80", "\u{ed}\u{a0}\u{80}"),
        ];
        for (bytes, text) in cases {
            assert_eq!(decode_text(bytes), text, "{bytes:?}");
        }
    }
}
