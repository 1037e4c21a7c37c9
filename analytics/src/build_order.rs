//! The order of builds: by number where they are numbers, else by version.

use std::cmp::Ordering;

/// Which of two builds of one system is older. It is a total order, equal for equal texts only.
///
/// Builds of digits alone are numbers, of whatever length. Others are versions: runs of digits are compared as numbers,
/// what stands between letters and digits only parts them, a number is newer than a word in its place, and a version that
/// goes on is newer than one that ends there, but for what follows a tilde: `12.4~rc1`, `12.4`, `12.4.1`, `12.10`.
#[must_use]
pub fn build_order(a: &str, b: &str) -> Ordering {
    // Versions that differ in other signs only.
    parts(a).cmp(parts(b)).then_with(|| a.cmp(b))
}

/// What a version is made of; the order of the kinds is theirs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Tilde,
    End,
    Word(&'a str),
    /// Number of digits, then the digits, without leading zeros: so there is no largest number.
    Number(usize, &'a str),
}

fn parts(version: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = Some(version);
    std::iter::from_fn(move || {
        let text = rest?.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '~');
        let (part, behind) = match text.chars().next() {
            None => (Part::End, None),
            Some('~') => (Part::Tilde, Some(&text[1..])),
            Some(first) if first.is_ascii_digit() => {
                let (digits, behind) = run(text, |c| c.is_ascii_digit());
                let digits = digits.trim_start_matches('0');
                (Part::Number(digits.len(), digits), Some(behind))
            }
            Some(_) => {
                let (word, behind) = run(text, |c| c.is_alphanumeric() && !c.is_ascii_digit());
                (Part::Word(word), Some(behind))
            }
        };
        rest = behind;
        Some(part)
    })
}

/// The beginning of `text` whose characters all belong to it, and what follows.
fn run(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn builds_are_ordered_by_their_numbers() {
        let sorted = [
            "",
            "rolling",
            "9",
            "10",
            "12~rc1",
            "12",
            "12a",
            "12.4",
            "12.4-1",
            "12.10",
            "13-20261101",
            "13-20261120",
            "33010",
            "20261122",
            "99999999999999999999998",
            "99999999999999999999999",
        ];
        for (place, build) in sorted.iter().enumerate() {
            for (other_place, other) in sorted.iter().enumerate() {
                assert_eq!(build_order(build, other), place.cmp(&other_place), "{build} {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[a-c0-2.~é-]{0,5}", b in "[a-c0-2.~é-]{0,5}", c in "[a-c0-2.~é-]{0,5}") {
            prop_assert_eq!(build_order(&a, &b), build_order(&b, &a).reverse());
            prop_assert_eq!(build_order(&a, &b).is_eq(), a == b);
            if build_order(&a, &b).is_le() && build_order(&b, &c).is_le() {
                prop_assert!(build_order(&a, &c).is_le());
            }
        }

        #[test]
        fn numbers_are_ordered_as_numbers(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(build_order(&a.to_string(), &b.to_string()), a.cmp(&b));
        }
    }
}
