//! Cuts the bytes of a batch into the pieces that ought to be records, wherever the bytes were cut before.
//!
//! Nothing is judged here but where a piece ends: whether it is a record is the decoder's matter. So a damaged line or
//! element spoils itself and nothing else.

use std::io::BufRead;

use super::super::form::is_json_space;

/// A piece that ought to be one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Its bytes, white space around them included.
    Whole(&'a [u8]),
    /// It is longer than a record may be.
    TooLong,
}

/// Takes pieces with their numbers; an error ends the cutting.
pub(super) trait Sink {
    /// Why no more pieces are wanted.
    type Error;

    /// The piece in line, or at position, `line`, counted from 1.
    fn piece(&mut self, line: u64, piece: Piece<'_>) -> Result<(), Self::Error>;
}

/// What may be wrong with a batch as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cut<E> {
    /// It is not an array: the rest of a sentence that begins with "The body".
    NoArray(&'static str),
    /// The sink's own.
    Sink(E),
}

impl<E> From<E> for Cut<E> {
    fn from(error: E) -> Self {
        Self::Sink(error)
    }
}

/// The part of a piece that came with earlier bytes.
struct Held {
    bytes: Vec<u8>,
    is_too_long: bool,
    limit_bytes: usize,
}

impl Held {
    fn new(limit_bytes: usize) -> Self {
        Self { bytes: Vec::new(), is_too_long: false, limit_bytes }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.is_too_long |= self.bytes.len() + bytes.len() > self.limit_bytes;
        if self.is_too_long {
            self.bytes.clear();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Hands the piece that ends with `last` to `take`, unless it is blank, and begins the next one.
    fn end<E>(&mut self, last: &[u8], take: impl FnOnce(Piece<'_>) -> Result<(), E>) -> Result<(), E> {
        if !self.bytes.is_empty() || self.is_too_long || last.len() > self.limit_bytes {
            self.add(last);
        }
        let whole = if self.bytes.is_empty() { last } else { &self.bytes };
        let outcome = match std::mem::take(&mut self.is_too_long) {
            true => take(Piece::TooLong),
            false if whole.trim_ascii().is_empty() => Ok(()),
            false => take(Piece::Whole(whole)),
        };
        self.bytes.clear();
        outcome
    }
}

/// A piece a line; blank lines count and hold nothing.
pub(super) struct Lines {
    held: Held,
    line: u64,
}

impl Lines {
    /// Lines of at most `limit_bytes`, without their end.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { held: Held::new(limit_bytes), line: 1 }
    }

    /// Takes the next bytes.
    pub(super) fn push<S: Sink>(&mut self, mut bytes: &[u8], sink: &mut S) -> Result<(), Cut<S::Error>> {
        while let Some((line, rest)) = first_line(bytes) {
            self.held.end(line, |piece| sink.piece(self.line, piece))?;
            self.line += 1;
            bytes = rest;
        }
        self.held.add(bytes);
        Ok(())
    }

    /// The last line may lack its end.
    pub(super) fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), Cut<S::Error>> {
        Ok(self.held.end(b"", |piece| sink.piece(self.line, piece))?)
    }
}

/// The bytes before the first line end and those behind it.
fn first_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    // The standard library's fast search for a byte, which a loop over bytes would not be; it cannot fail in memory.
    let passed = rest.skip_until(b'\n').ok()?;
    let line = bytes.get(..passed)?.strip_suffix(b"\n")?;
    Some((line, rest))
}

/// Where in an array the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    Behind,
}

/// What a byte does.
enum Step {
    Nothing,
    Opens,
    /// Ends an element; the flag says that it ends the array, too.
    Ends(bool),
    Wrong(&'static str),
}

/// An element of a JSON array a piece.
pub(super) struct Elements {
    held: Held,
    element: u64,
    place: Place,
    /// Brackets that are open inside of the element.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl Elements {
    /// Elements of at most `limit_bytes`, white space around them included.
    pub(super) fn new(limit_bytes: usize) -> Self {
        let held = Held::new(limit_bytes);
        Self { held, element: 1, place: Place::Before, depth: 0, in_string: false, is_escaped: false }
    }

    /// Takes the next bytes.
    pub(super) fn push<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<(), Cut<S::Error>> {
        let mut begin = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match self.step(byte) {
                Step::Nothing => {}
                Step::Opens => begin = at + 1,
                Step::Ends(is_last) => {
                    self.end(&bytes[begin..at], is_last, sink)?;
                    begin = at + 1;
                }
                Step::Wrong(reason) => return Err(Cut::NoArray(reason)),
            }
        }
        if self.place == Place::Inside {
            self.held.add(&bytes[begin..]);
        }
        Ok(())
    }

    /// Checks that the array has ended.
    pub(super) fn finish<S: Sink>(&mut self, _sink: &mut S) -> Result<(), Cut<S::Error>> {
        if self.place == Place::Behind { Ok(()) } else { Err(Cut::NoArray("ends inside of its array")) }
    }

    fn end<S: Sink>(&mut self, last: &[u8], is_last: bool, sink: &mut S) -> Result<(), Cut<S::Error>> {
        let element = self.element;
        let mut was_there = false;
        self.held.end(last, |piece| {
            was_there = true;
            sink.piece(element, piece)
        })?;
        // Nothing between two commas is an element that is no record; nothing between the brackets is an empty array.
        let is_empty_array = is_last && element == 1;
        if !was_there && !is_empty_array {
            sink.piece(element, Piece::Whole(b""))?;
        }
        self.element += 1;
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Step {
        match self.place {
            Place::Inside if self.in_string => self.step_in_string(byte),
            Place::Inside => self.step_in_element(byte),
            Place::Before | Place::Behind if is_json_space(byte) => Step::Nothing,
            Place::Before if byte == b'[' => {
                self.place = Place::Inside;
                Step::Opens
            }
            Place::Before => Step::Wrong("does not begin with ["),
            Place::Behind => Step::Wrong("goes on behind its array"),
        }
    }

    fn step_in_string(&mut self, byte: u8) -> Step {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
        Step::Nothing
    }

    fn step_in_element(&mut self, byte: u8) -> Step {
        match byte {
            b',' if self.depth == 0 => return Step::Ends(false),
            b']' if self.depth == 0 => {
                self.place = Place::Behind;
                return Step::Ends(true);
            }
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        Step::Nothing
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 12;

    #[derive(Default)]
    struct Pieces(Vec<(u64, Option<Vec<u8>>)>);

    impl Sink for Pieces {
        type Error = Infallible;

        fn piece(&mut self, line: u64, piece: Piece<'_>) -> Result<(), Infallible> {
            self.0.push((
                line,
                match piece {
                    Piece::Whole(bytes) => Some(bytes.to_vec()),
                    Piece::TooLong => None,
                },
            ));
            Ok(())
        }
    }

    type Outcome = (Vec<(u64, Option<Vec<u8>>)>, Result<(), Cut<Infallible>>);

    /// The pieces of `bytes`, given in parts that end at `cuts`.
    fn lines(bytes: &[u8], cuts: &[usize]) -> Outcome {
        let (mut lines, mut pieces) = (Lines::new(LIMIT), Pieces::default());
        let pushed = parts(bytes, cuts).into_iter().try_for_each(|part| lines.push(part, &mut pieces));
        let outcome = pushed.and_then(|()| lines.finish(&mut pieces));
        (pieces.0, outcome)
    }

    fn elements(bytes: &[u8], cuts: &[usize]) -> Outcome {
        let (mut elements, mut pieces) = (Elements::new(LIMIT), Pieces::default());
        let pushed = parts(bytes, cuts).into_iter().try_for_each(|part| elements.push(part, &mut pieces));
        let outcome = pushed.and_then(|()| elements.finish(&mut pieces));
        (pieces.0, outcome)
    }

    fn parts<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut parts = Vec::new();
        for cut in cuts {
            let (part, rest) = bytes.split_at((*cut).min(bytes.len()));
            parts.push(part);
            bytes = rest;
        }
        parts.push(bytes);
        parts
    }

    fn texts(outcome: &Outcome) -> Vec<(u64, &str)> {
        let text = |bytes| std::str::from_utf8(bytes).expect("text");
        outcome.0.iter().map(|(line, piece)| (*line, piece.as_deref().map_or("(too long)", text))).collect()
    }

    #[test]
    fn a_line_is_a_piece_and_blank_ones_only_count() {
        let outcome = lines(b"one\n\n two\r\n \t\r\nthree", &[]);
        assert_eq!(texts(&outcome), [(1, "one"), (3, " two\r"), (5, "three")]);
        assert_eq!(outcome.1, Ok(()));
        for empty in ["", "\n", "\r\n\n"] {
            assert_eq!(lines(empty.as_bytes(), &[]), (Vec::new(), Ok(())));
        }
    }

    #[test]
    fn a_line_is_limited_at_its_edge_and_spoils_only_itself() {
        let outcome = lines(b"123456789012\n1234567890123\nx\n", &[]);
        assert_eq!(texts(&outcome), [(1, "123456789012"), (2, "(too long)"), (3, "x")]);
        assert_eq!(lines(b"1234567890123", &[5]).0, [(1, None)]);
    }

    #[test]
    fn an_element_is_a_piece() {
        for (array, expected) in [
            ("[]", &[][..]),
            (" [ \n ] \n", &[]),
            ("[{}]", &[(1, "{}")]),
            ("[{},{}]", &[(1, "{}"), (2, "{}")]),
            ("[1, [2,3] ,\"a]\"]", &[(1, "1"), (2, " [2,3] "), (3, "\"a]\"")]),
            (r#"["\"],[",{"a":[]}]"#, &[(1, r#""\"],[""#), (2, r#"{"a":[]}"#)]),
            (r#"["\\",1]"#, &[(1, r#""\\""#), (2, "1")]),
            ("[,]", &[(1, ""), (2, "")]),
            ("[1,]", &[(1, "1"), (2, "")]),
            ("[},{},1]", &[(1, "}"), (2, "{}"), (3, "1")]),
            // A bracket that is never closed takes what follows with it.
            ("[{,1]", &[]),
            ("[123456789012,1234567890123,1]", &[(1, "123456789012"), (2, "(too long)"), (3, "1")]),
        ] {
            let outcome = elements(array.as_bytes(), &[]);
            assert_eq!(texts(&outcome), expected, "{array}");
        }
    }

    #[test]
    fn what_is_no_array_is_said() {
        for (body, reason) in [
            ("", "ends inside of its array"),
            ("{}", "does not begin with ["),
            ("[1", "ends inside of its array"),
            ("[\"]", "ends inside of its array"),
            ("[1] x", "goes on behind its array"),
            ("[1][2]", "goes on behind its array"),
        ] {
            assert_eq!(elements(body.as_bytes(), &[]).1, Err(Cut::NoArray(reason)), "{body}");
        }
    }

    proptest! {
        #[test]
        fn where_bytes_are_cut_makes_no_difference(
            bytes in prop::collection::vec(prop::sample::select(&b"[]{},\"\\\n 1a"[..]), 0..60),
            cuts in prop::collection::vec(0_usize..20, 0..8),
        ) {
            prop_assert_eq!(lines(&bytes, &cuts), lines(&bytes, &[]));
            let array = [b"[".to_vec(), bytes].concat();
            prop_assert_eq!(elements(&array, &cuts), elements(&array, &[]));
        }

        #[test]
        fn elements_are_those_that_a_parser_finds(values in prop::collection::vec("[a-z\\[\\]{},\"\\\\ ]{0,4}", 0..8)) {
            let array = serde_json::to_vec_pretty(&values).expect("JSON");
            let (mut elements, mut pieces) = (Elements::new(1_000), Pieces::default());
            elements.push(&array, &mut pieces).expect("an array");
            elements.finish(&mut pieces).expect("the end");
            let parsed: Vec<String> = pieces.0.iter().map(|(_, piece)| {
                serde_json::from_slice(piece.as_deref().expect("short")).expect("an element")
            }).collect();
            prop_assert_eq!(parsed, values);
        }
    }
}
