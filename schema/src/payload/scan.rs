//! The few ways in which the text of a payload is looked at: byte by byte, each byte a bounded number of times.

/// Whether a byte stands for nothing: white space, NUL and the other control characters.
pub(super) fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// The text without what is blank at its ends.
pub(super) fn trim(text: &str) -> &str {
    trim_end(trim_start(text))
}

/// The text without what is blank at its beginning.
pub(super) fn trim_start(text: &str) -> &str {
    let blank = text.bytes().take_while(|byte| is_blank(*byte)).count();
    looked_at(blank + 1);
    &text[blank..]
}

/// The text without what is blank at its end.
pub(super) fn trim_end(text: &str) -> &str {
    let blank = text.bytes().rev().take_while(|byte| is_blank(*byte)).count();
    looked_at(blank + 1);
    &text[..text.len() - blank]
}

/// What is before the first `mark`, an ASCII character, and what is behind it.
pub(super) fn cut(text: &str, mark: char) -> Option<(&str, &str)> {
    let parts = text.split_once(mark);
    looked_at(parts.map_or(text.len(), |(before, _)| before.len()) + 1);
    parts
}

/// The digits that a text begins with, and what is behind them.
pub(super) fn digits(text: &str) -> (&str, &str) {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    looked_at(count + 1);
    text.split_at(count)
}

/// The number that a text begins with; `None` without one, and where it is too large.
pub(super) fn number(text: &str) -> Option<u32> {
    digits(text).0.parse().ok()
}

/// Notes work of a parser; nothing but in tests.
#[cfg(not(test))]
pub(super) fn looked_at(_bytes: usize) {}

#[cfg(test)]
pub(super) use counted::{looked_at, work};

/// How much work a parser does, for the tests that show that it grows with the text and no faster.
#[cfg(test)]
mod counted {
    use std::cell::Cell;

    thread_local! {
        static BYTES: Cell<usize> = const { Cell::new(0) };
    }

    pub(in super::super) fn looked_at(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// The bytes that `parse` looked at.
    pub(in super::super) fn work(parse: impl FnOnce()) -> usize {
        BYTES.set(0);
        parse();
        BYTES.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_trimmed_of_what_no_reader_sees() {
        for text in ["a b", " a b\r", "\0\t a b \0\0", "\x7fa b\x01\x1f"] {
            assert_eq!(trim(text), "a b", "{text:?}");
        }
        assert_eq!(trim(" \0\r\n"), "");
        assert_eq!(trim("\u{a0}é "), "\u{a0}é");
    }

    #[test]
    fn numbers_are_read_up_to_their_last_digit() {
        assert_eq!(number("11 (SIGSEGV)"), Some(11));
        assert_eq!(number("4294967295"), Some(u32::MAX));
        for text in ["", "-1", "4294967296", "x1", "٣"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
