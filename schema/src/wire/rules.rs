//! What makes a value valid: the limits and forms of the wire contract, one function for each kind of value.

use std::ops::RangeInclusive;

/// The values that `arch` may have.
pub const ARCHITECTURES: [&str; 15] = [
    "armv7l",
    "armv6l",
    "aarch64",
    "amd64",
    "arm64",
    "sparc64",
    "ppc64",
    "ppc64le",
    "i686",
    "i386",
    "x86_64",
    "ppc",
    "riscv64",
    "s390x",
    "loongarch64",
];
/// Record formats that there are.
pub const RECORD_FORMATS: RangeInclusive<u64> = 1..=4;
/// Severities that there are.
pub const SEVERITIES: RangeInclusive<u64> = 1..=4;
/// Versions that a payload's grammar may have.
pub const PAYLOAD_FORMATS: RangeInclusive<u64> = 0..=2_147_483_647;
/// Times that a machine may claim for an event, Unix seconds: up to the end of the year 2299.
pub const CAPTURE_TIMES_S: RangeInclusive<u64> = 0..=10_413_791_999;

/// Longest classification, in characters.
pub const CLASSIFICATION_LIMIT_CHARS: usize = 140;
/// Longest machine id, in characters.
pub const MACHINE_ID_LIMIT_CHARS: usize = 32;
/// Longest host type, in characters.
pub const HOST_TYPE_LIMIT_CHARS: usize = 249;
/// Longest build, in characters without quotes.
pub const BUILD_LIMIT_CHARS: usize = 256;
/// Longest kernel version, in characters.
pub const KERNEL_VERSION_LIMIT_CHARS: usize = 200;
/// Longest system name, in characters without quotes.
pub const SYSTEM_NAME_LIMIT_CHARS: usize = 140;
/// Longest name of a mainboard, a processor model or a firmware version, in characters.
pub const HARDWARE_LIMIT_CHARS: usize = 199;
/// Length of an event id, in hexadecimal digits.
pub const EVENT_ID_DIGITS: usize = 32;

/// The system whose builds are numbers.
pub(super) const CLEAR_LINUX: &str = "clear-linux-os";

const CLASSIFICATION_PARTS: usize = 3;

/// Whether a value is valid, or what it has to be.
pub(super) type Verdict = Result<(), String>;

/// The number that `text` writes, when it lies in `range`; digits only, as clients send them.
pub(super) fn number<T: TryFrom<u64>>(text: &str, range: &RangeInclusive<u64>) -> Result<T, String> {
    digits(text)
        .filter(|number| range.contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("must be an integer from {} to {}", range.start(), range.end()))
}

fn digits(text: &str) -> Option<u64> {
    // `parse` alone would take a plus sign; a number that overflows is outside of every range.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(super) fn classification(text: &str) -> Verdict {
    at_most(text, CLASSIFICATION_LIMIT_CHARS)?;
    require(text.split('/').count() == CLASSIFICATION_PARTS, || "must have exactly three parts between slashes".into())
}

pub(super) fn machine_id(text: &str) -> Verdict {
    at_most(text, MACHINE_ID_LIMIT_CHARS)
}

pub(super) fn arch(text: &str) -> Verdict {
    require(ARCHITECTURES.contains(&text), || format!("must be one of {}", ARCHITECTURES.join(" ")))
}

pub(super) fn host_type(text: &str) -> Verdict {
    at_most(text, HOST_TYPE_LIMIT_CHARS)
}

/// A build of any system but [`CLEAR_LINUX`].
pub(super) fn build(text: &str) -> Verdict {
    at_most(text, BUILD_LIMIT_CHARS)?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    require(!text.is_empty() && text.bytes().all(valid), || "must be letters, digits, '-', '_' and '.'".into())
}

/// A build of [`CLEAR_LINUX`].
pub(super) fn numeric_build(text: &str) -> Verdict {
    at_most(text, BUILD_LIMIT_CHARS)?;
    let numeric = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    require(numeric, || format!("must be digits only when system_name is {CLEAR_LINUX}"))
}

pub(super) fn kernel_version(text: &str) -> Verdict {
    at_most(text, KERNEL_VERSION_LIMIT_CHARS)?;
    let minor = text.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix('.');
    let numbers = text.starts_with(|c: char| c.is_ascii_digit())
        && minor.is_some_and(|minor| minor.starts_with(|c: char| c.is_ascii_digit()));
    // `3.16.generic` is valid too: nothing is said about what follows.
    require(numbers, || "must begin with two numbers and a dot between them".into())
}

pub(super) fn system_name(text: &str) -> Verdict {
    at_most(text, SYSTEM_NAME_LIMIT_CHARS)
}

/// A text that the firmware or the processor of a machine gave.
pub(super) fn hardware(text: &str) -> Verdict {
    at_most(text, HARDWARE_LIMIT_CHARS)?;
    require(!text.is_empty(), || "must not be empty".into())?;
    // ASCII only: bytes 0x80 to 0x9F, read as Latin-1, are what firmware in other encodings has for letters, and no
    // record is refused for its encoding.
    require(!text.bytes().any(|byte| byte.is_ascii_control()), || "must not have control characters".into())
}

pub(super) fn event_id(text: &str) -> Verdict {
    let hexadecimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    require(hexadecimal && text.len() == EVENT_ID_DIGITS, || {
        format!("must be {EVENT_ID_DIGITS} lower-case hexadecimal digits")
    })
}

fn at_most(text: &str, limit_chars: usize) -> Verdict {
    // A text has never more characters than bytes, so that counting is for the few that are long.
    let fits = text.len() <= limit_chars || text.chars().nth(limit_chars).is_none();
    require(fits, || format!("must have at most {limit_chars} characters"))
}

fn require(valid: bool, reason: impl FnOnce() -> String) -> Verdict {
    if valid { Ok(()) } else { Err(reason()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that `rule` takes all of `valid` and none of `invalid`.
    fn assert_rule<T: AsRef<str>>(rule: fn(&str) -> Verdict, valid: &[T], invalid: &[T]) {
        for text in valid {
            assert_eq!(rule(text.as_ref()), Ok(()), "{:?}", text.as_ref());
        }
        for text in invalid {
            assert!(rule(text.as_ref()).is_err(), "{:?}", text.as_ref());
        }
    }

    /// Texts of exactly `limit_chars` characters, the number in the contract, are valid and of one more are not.
    fn assert_limit(
        rule: fn(&str) -> Verdict,
        limit_chars: usize,
        make: fn(usize, &str) -> String,
        characters: &[&str],
    ) {
        for character in characters {
            assert_eq!(rule(&make(limit_chars, character)), Ok(()), "{character}");
            let reason = format!("must have at most {limit_chars} characters");
            assert_eq!(rule(&make(limit_chars + 1, character)), Err(reason), "{character}");
        }
    }

    fn plain(chars: usize, character: &str) -> String {
        character.repeat(chars)
    }

    const ANY: [&str; 2] = ["a", "\u{1f980}"];

    #[test]
    fn numbers_are_digits_within_their_range() {
        for (text, expected) in [("1", Some(1)), ("4", Some(4)), ("0004", Some(4)), ("0", None), ("5", None)] {
            assert_eq!(number::<i8>(text, &SEVERITIES).ok(), expected, "{text}");
        }
        for text in ["", "abc", "+1", "-1", "1e0", "1.0", "0x1", " 1", "1 ", "\u{661}", "99999999999999999999999"] {
            assert_eq!(number::<i8>(text, &SEVERITIES), Err("must be an integer from 1 to 4".into()), "{text}");
        }
    }

    #[test]
    fn the_edges_of_every_range() {
        let cases = [
            (RECORD_FORMATS, "1", "4", "5"),
            (PAYLOAD_FORMATS, "0", "2147483647", "2147483648"),
            (CAPTURE_TIMES_S, "0", "10413791999", "10413792000"),
        ];
        for (range, least, greatest, above) in cases {
            assert!(number::<i64>(least, &range).is_ok(), "{least}");
            assert!(number::<i64>(greatest, &range).is_ok(), "{greatest}");
            assert!(number::<i64>(above, &range).is_err(), "{above}");
        }
        assert!(number::<i64>("0", &RECORD_FORMATS).is_err());
    }

    #[test]
    fn a_classification_has_three_parts() {
        assert_rule(
            classification,
            &["a/b/c", "//", "a//", "org.clearlinux/hello/world"],
            &["", "a/b", "a/b/c/", "a/b/c/d"],
        );
        assert_limit(classification, 140, |chars, c| format!("//{}", c.repeat(chars - 2)), &ANY);
    }

    #[test]
    fn texts_without_a_form_have_a_length() {
        assert_rule(machine_id, &["", "any text\0"], &[]);
        assert_limit(machine_id, 32, plain, &ANY);
        assert_rule(host_type, &["", "a|b|c", "VMware,"], &[]);
        assert_limit(host_type, 249, plain, &ANY);
        assert_rule(system_name, &["", "clear-linux-os_kvm"], &[]);
        assert_limit(system_name, 140, plain, &ANY);
    }

    #[test]
    fn an_architecture_is_one_of_the_list() {
        assert_rule(arch, &ARCHITECTURES, &["", "x86-64", "X86_64", "x86_64 ", "mips"]);
        assert_eq!(ARCHITECTURES.len(), 15);
    }

    #[test]
    fn builds() {
        assert_rule(build, &["12", "2024.1-rc_2", "a", "."], &["", "1 2", "a/b", "\u{e9}", "a+b", "12\n"]);
        assert_limit(build, 256, plain, &["a"]);
        assert_rule(numeric_build, &["33010", "0"], &["", "33010a", "1.2", "-1", "\u{661}"]);
        assert_limit(numeric_build, 256, plain, &["1"]);
    }

    #[test]
    fn a_kernel_version_begins_with_two_numbers() {
        let valid = ["5.4", "6.18-rc3", "3.16.generic", "6.6.1-1.native", "10.20 \u{e9}"];
        assert_rule(
            kernel_version,
            &valid,
            &["", "5", "5.", ".5", "5.x", "x5.4", "v5.4", "5-4.1", "-5.4", "5..4", "\u{661}.4"],
        );
        assert_limit(kernel_version, 200, |chars, c| format!("5.4{}", c.repeat(chars - 3)), &ANY);
    }

    #[test]
    fn hardware_texts_have_no_ascii_control_characters() {
        let valid = ["a", "blank|blank", "N23ET55W (1.30 )", "Intel\u{ae}", "\u{80}\u{9f}"];
        assert_rule(hardware, &valid, &["", "\0", "a\tb", "a\n", "\u{1f}", "\u{7f}"]);
        assert_limit(hardware, 199, plain, &ANY);
    }

    #[test]
    fn an_event_id_is_32_lower_case_hexadecimal_digits() {
        let valid = ["0123456789abcdef0123456789abcdef"];
        let invalid = [
            "",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef0",
            "0123456789ABCDEF0123456789ABCDEF",
            "g123456789abcdef0123456789abcdef",
        ];
        assert_rule(event_id, &valid, &[]);
        assert_rule(event_id, &invalid[..0], &invalid);
    }
}
