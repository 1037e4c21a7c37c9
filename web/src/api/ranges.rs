//! Which part of a file a request asks for, and whether it has it already: RFC 9110, sections 13 and 14.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, header};

/// Most ranges of a request that are answered each for itself: readers of columns put more of them into one.
pub const RANGES_MAX: usize = 32;

/// What is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// 200 with all of it.
    Whole,
    /// 206 with these bytes.
    Part(Range<u64>),
    /// 206 with all of these, in this order: at least two, and together no more than the file.
    Parts(Vec<Range<u64>>),
    /// 416: no byte of what is asked for is there.
    Nothing,
    /// 304: the client has this version.
    Unchanged,
    /// 412: the client wants another version, or none.
    Other,
}

/// What the headers of a GET or HEAD ask of a file of `length` bytes whose entity tag is `tag`, with its quotes.
#[must_use]
pub fn wanted(headers: &HeaderMap, tag: &str, length: u64) -> Wanted {
    if given(headers, &header::IF_MATCH).is_some_and(|tags| !lists(tags, tag, "")) {
        return Wanted::Other;
    }
    if given(headers, &header::IF_NONE_MATCH).is_some_and(|tags| lists(tags, tag, "W/")) {
        return Wanted::Unchanged;
    }
    // A part belongs to the version that the client knows the beginning of; of another one it gets all.
    if given(headers, &header::IF_RANGE).is_some_and(|known| known.trim() != tag) {
        return Wanted::Whole;
    }
    given(headers, &header::RANGE).map_or(Wanted::Whole, |range| part(range, length))
}

fn given<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // Bytes that are no text are no tag and no range.
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Whether a list of tags has this one, perhaps behind a prefix that makes no difference here.
fn lists(tags: &str, tag: &str, prefix: &str) -> bool {
    tags.split(',').map(str::trim).any(|other| other == "*" || other.strip_prefix(prefix).unwrap_or(other) == tag)
}

/// What cannot be understood is not there, and neither are too many ranges, or ones that overlap until they are more than
/// the file: every client has to take the whole file then.
fn part(range: &str, length: u64) -> Wanted {
    let bytes = range.split_once('=').filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((_, ranges)) = bytes else { return Wanted::Whole };
    let mut parts = Vec::new();
    // Empty elements of a list are no elements.
    for (index, range) in ranges.split(',').map(str::trim).filter(|range| !range.is_empty()).enumerate() {
        match bounds(range, length) {
            Some(bounds) if index < RANGES_MAX => parts.push(bounds),
            _ => return Wanted::Whole,
        }
    }
    chosen(parts, length)
}

/// Those of `parts` that are in the file.
fn chosen(mut parts: Vec<Range<u64>>, length: u64) -> Wanted {
    let is_asked = !parts.is_empty();
    parts.retain(|part| part.start < part.end);
    match parts.len() {
        0 if is_asked => Wanted::Nothing,
        1 => Wanted::Part(parts.remove(0)),
        _ if is_asked && parts.iter().map(|part| part.end - part.start).sum::<u64>() <= length => Wanted::Parts(parts),
        _ => Wanted::Whole,
    }
}

/// One range, empty when no byte of it is in the file; `None` when it is none.
fn bounds(range: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = range.split_once('-')?;
    match (position(first), position(last)) {
        (Some(first), Some(last)) if first <= last => Some(first..last.saturating_add(1).min(length)),
        (Some(first), None) if last.is_empty() => Some(first..length),
        (None, Some(count)) if first.is_empty() => Some(length.saturating_sub(count)..length),
        _ => None,
    }
}

/// A number, however large it is.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TAG: &str = "\"abc\"";

    fn headers(given: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |value: &str| HeaderValue::from_str(value).expect("a value");
        given.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    fn range(text: &str) -> Wanted {
        wanted(&headers(&[(header::RANGE, text)]), TAG, 100)
    }

    #[test]
    fn a_range_is_cut_at_the_end_of_the_file() {
        for (text, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-99", 0..100),
            ("bytes=0-100", 0..100),
            ("bytes=99-", 99..100),
            ("bytes=-1", 99..100),
            ("bytes=-100", 0..100),
            ("bytes=-101", 0..100),
            ("Bytes= 5-7", 5..8),
            ("bytes=10-99999999999999999999999999", 10..100),
        ] {
            assert_eq!(range(text), Wanted::Part(expected), "{text}");
        }
    }

    #[test]
    fn a_range_behind_the_file_is_nothing() {
        for text in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999999-"] {
            assert_eq!(range(text), Wanted::Nothing, "{text}");
        }
    }

    #[test]
    fn what_is_no_range_of_bytes_is_not_there() {
        for text in ["", "bytes", "bytes=", "bytes=-", "bytes=5", "bytes=7-5", "bytes=a-b", "bytes=+1-2", "bytes=1--2"]
        {
            assert_eq!(range(text), Wanted::Whole, "{text}");
        }
        for text in ["rows=0-1", "bytes=0-1,x", "bytes=0-1,7-5", "bytes=,"] {
            assert_eq!(range(text), Wanted::Whole, "{text}");
        }
    }

    #[test]
    fn several_ranges_are_those_that_are_in_the_file() {
        for (text, expected) in [
            ("bytes=0-1,5-6", vec![0..2, 5..7]),
            ("bytes=50-, 0-0, -1", vec![50..100, 0..1, 99..100]),
            ("bytes=0-0,100-,1-1,,200-300", vec![0..1, 1..2]),
            ("bytes=0-49,50-99", vec![0..50, 50..100]),
            ("bytes=0-49,0-49", vec![0..50, 0..50]),
        ] {
            assert_eq!(range(text), Wanted::Parts(expected), "{text}");
        }
        assert_eq!(range("bytes=7-8,100-"), Wanted::Part(7..9));
        assert_eq!(range("bytes=100-,200-300"), Wanted::Nothing);
    }

    #[test]
    fn too_many_ranges_are_the_whole_file() {
        let many = |count: u64| (0..count).map(|at| format!("{at}-{at}")).collect::<Vec<_>>().join(",");
        let most = RANGES_MAX as u64;
        let all = (0..most).map(|at| at..at + 1).collect();
        assert_eq!(range(&format!("bytes={}", many(most))), Wanted::Parts(all));
        assert_eq!(range(&format!("bytes={}", many(most + 1))), Wanted::Whole);
        assert_eq!(range("bytes=0-49,0-50"), Wanted::Whole, "more than the file");
    }

    #[test]
    fn who_has_the_version_is_told_so() {
        let none_match = |tags: &str| wanted(&headers(&[(header::IF_NONE_MATCH, tags)]), TAG, 100);
        for tags in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert_eq!(none_match(tags), Wanted::Unchanged, "{tags}");
        }
        for tags in ["\"x\"", "abc", ""] {
            assert_eq!(none_match(tags), Wanted::Whole, "{tags}");
        }
        let both = [(header::IF_NONE_MATCH, TAG), (header::RANGE, "bytes=0-1")];
        assert_eq!(wanted(&headers(&both), TAG, 100), Wanted::Unchanged);
    }

    #[test]
    fn who_wants_another_version_is_told_so() {
        let matching = |tags: &str| wanted(&headers(&[(header::IF_MATCH, tags)]), TAG, 100);
        assert_eq!((matching(TAG), matching("*")), (Wanted::Whole, Wanted::Whole));
        assert_eq!((matching("\"x\""), matching("W/\"abc\"")), (Wanted::Other, Wanted::Other));
    }

    #[test]
    fn a_part_of_another_version_is_not_given() {
        let if_range =
            |known: &str| wanted(&headers(&[(header::IF_RANGE, known), (header::RANGE, "bytes=0-1")]), TAG, 100);
        assert_eq!(if_range(TAG), Wanted::Part(0..2));
        for known in ["\"x\"", "W/\"abc\"", "Sun, 22 Nov 2026 00:00:00 GMT"] {
            assert_eq!(if_range(known), Wanted::Whole, "{known}");
        }
    }

    proptest! {
        #[test]
        fn parts_lie_within_the_file(
            text in "(bytes=)?([0-9]{0,3}-?[0-9]{0,3},){0,3}[0-9]{0,20}-?[0-9]{0,20}",
            length in 1_u64..1_000,
        ) {
            let parts = match super::part(&text, length) {
                Wanted::Part(part) => vec![part],
                Wanted::Parts(parts) => parts,
                _ => Vec::new(),
            };
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
            prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= length);
        }
    }
}
