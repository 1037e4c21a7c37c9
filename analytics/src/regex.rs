//! Regular expressions that this program's engine and ClickHouse's (RE2) read alike.
//!
//! Both take linear time, but they differ in what a letter class, a dot, a flag or a word boundary means. So nobody's
//! spelling is sent: a pattern is parsed by this program's grammar and written again with what means the same in both.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition};

/// Longest pattern, in characters.
pub const PATTERN_CHARS_MAX: usize = 500;
/// Most repetitions that a pattern may count, those inside of others multiplied: RE2 has no more.
const REPETITIONS_MAX: u32 = 1_000;
/// Longest pattern as it is sent, in bytes: the letters of all languages take 7,000, and the server reads 256 KiB of SQL.
const SENT_BYTES_MAX: usize = 48 << 10;
/// Largest program of a pattern, in bytes. RE2 gives up somewhere above that.
const PROGRAM_BYTES_MAX: usize = 2 << 20;
const TOO_LARGE: &str = "is too large a regular expression";
/// The class of every character.
const ANYTHING: &str = r"[\x{0}-\x{10FFFF}]";
/// The class of no character.
const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";

/// A regular expression that has the same meaning in both stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPattern {
    pattern: String,
    literal: Option<String>,
}

impl TextPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The rest of a sentence that says what is wrong: too long, not a regular expression, or not for both engines.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.chars().count() > PATTERN_CHARS_MAX {
            return Err(format!("must have at most {PATTERN_CHARS_MAX} characters"));
        }
        let hir = read(pattern)?;
        write(&hir)?;
        let compiled = regex::RegexBuilder::new(pattern).size_limit(PROGRAM_BYTES_MAX).build();
        compiled.map_err(|_| TOO_LARGE.to_owned())?;
        Ok(Self { pattern: pattern.to_owned(), literal: literal(&hir) })
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// The text that is looked for, when the pattern is nothing but a text.
    pub(crate) fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }
}

/// The pattern as RE2 has to get it to mean the same; `None` where there is none that does.
pub(crate) fn for_re2(pattern: &str) -> Option<String> {
    write(&read(pattern).ok()?).ok()
}

fn read(pattern: &str) -> Result<Hir, String> {
    regex_syntax::parse(pattern).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => format!("is not a regular expression: {}", error.kind()),
        regex_syntax::Error::Translate(error) => format!("is not a regular expression: {}", error.kind()),
        _ => "is not a regular expression".to_owned(),
    })
}

fn literal(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(std::str::from_utf8(&literal.0).ok()?.to_owned()),
        _ => None,
    }
}

fn write(hir: &Hir) -> Result<String, String> {
    let mut writer = Writer { out: String::new() };
    writer.expression(hir, 1)?;
    Ok(writer.out)
}

/// Writes a parsed pattern. It is read twice there: by RE2, and before by a search for texts that must occur, which
/// knows few escapes. Whatever that search could take for such a text stands in a class.
struct Writer {
    out: String,
}

impl Writer {
    /// `repeated` is how often the expression is repeated by those around it.
    fn expression(&mut self, hir: &Hir, repeated: u32) -> Result<(), String> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).map_err(|_| "must match whole characters".to_owned())?;
                text.chars().try_for_each(|character| self.character(character))?;
            }
            HirKind::Class(class) => self.class(class)?,
            HirKind::Look(look) => self.push(position(*look)?)?,
            HirKind::Repetition(repetition) => self.repetition(repetition, repeated)?,
            // What a group captured is never asked for.
            HirKind::Capture(capture) => self.group(&capture.sub, repeated)?,
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.part(part, repeated))?,
            HirKind::Alternation(parts) => self.alternatives(parts, repeated)?,
        }
        Ok(())
    }

    fn part(&mut self, hir: &Hir, repeated: u32) -> Result<(), String> {
        match hir.kind() {
            HirKind::Alternation(_) => self.group(hir, repeated),
            _ => self.expression(hir, repeated),
        }
    }

    fn group(&mut self, hir: &Hir, repeated: u32) -> Result<(), String> {
        self.push("(?:")?;
        self.expression(hir, repeated)?;
        self.push(")")
    }

    fn alternatives(&mut self, parts: &[Hir], repeated: u32) -> Result<(), String> {
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                self.push("|")?;
            }
            self.part(part, repeated)?;
        }
        Ok(())
    }

    /// Whether a repetition is greedy decides where a match ends, not whether there is one.
    fn repetition(&mut self, repetition: &Repetition, repeated: u32) -> Result<(), String> {
        let Repetition { min, max, sub, .. } = repetition;
        let repeated = repeated.saturating_mul(max.unwrap_or(*min).max(1));
        if repeated > REPETITIONS_MAX {
            return Err(format!("must not repeat anything more than {REPETITIONS_MAX} times"));
        }
        self.group(sub, repeated)?;
        match (min, max) {
            (0, None) => self.push("*"),
            (1, None) => self.push("+"),
            (0, Some(1)) => self.push("?"),
            (min, None) => self.push(&format!("{{{min},}}")),
            (min, Some(max)) => self.push(&format!("{{{min},{max}}}")),
        }
    }

    /// Every character of a class is written out: names of classes mean ASCII there and all languages here.
    fn class(&mut self, class: &Class) -> Result<(), String> {
        let class = characters(class).ok_or("must match whole characters")?;
        let mut others = class.clone();
        others.negate();
        match (class.ranges(), others.ranges()) {
            ([], _) => self.push(NOTHING),
            (_, []) => self.push(ANYTHING),
            (ranges, others) if others.len() < ranges.len() => self.brackets("[^", others),
            (ranges, _) => self.brackets("[", ranges),
        }
    }

    fn brackets(&mut self, begin: &str, ranges: &[ClassUnicodeRange]) -> Result<(), String> {
        self.push(begin)?;
        ranges.iter().try_for_each(|range| self.range(*range))?;
        self.push("]")
    }

    fn range(&mut self, range: ClassUnicodeRange) -> Result<(), String> {
        self.push(&in_class(range.start()))?;
        if range.start() == range.end() {
            return Ok(());
        }
        self.push("-")?;
        self.push(&in_class(range.end()))
    }

    fn character(&mut self, character: char) -> Result<(), String> {
        if character.is_ascii_alphanumeric() || character == ' ' || !character.is_ascii() {
            return self.push(character.encode_utf8(&mut [0; 4]));
        }
        self.push(&format!("[{}]", in_class(character)))
    }

    fn push(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > SENT_BYTES_MAX {
            return Err(TOO_LARGE.to_owned());
        }
        self.out.push_str(text);
        Ok(())
    }
}

fn position(look: Look) -> Result<&'static str, String> {
    match look {
        Look::Start => Ok("^"),
        Look::End => Ok("$"),
        Look::StartLF => Ok("(?m:^)"),
        Look::EndLF => Ok("(?m:$)"),
        Look::WordAscii => Ok(r"\b"),
        Look::WordUnicode => Err(r"must not have \b, which differs between stores; (?-u:\b) is about ASCII".to_owned()),
        _ => Err(r"must not have \B, \< and the like, which differ between stores".to_owned()),
    }
}

fn characters(class: &Class) -> Option<ClassUnicode> {
    match class {
        Class::Unicode(class) => Some(class.clone()),
        Class::Bytes(class) => class.to_unicode_class(),
    }
}

/// A character inside of brackets.
fn in_class(character: char) -> String {
    match character {
        c if c.is_control() => format!(r"\x{{{:X}}}", u32::from(c)),
        c if c.is_ascii_punctuation() => format!(r"\{c}"),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_classes_are_written_out() {
        let re2 = |pattern| for_re2(pattern).unwrap_or_else(|| panic!("{pattern}"));
        assert_eq!(re2("^org/(hello|crash)$"), "^org[\\/](?:hello|crash)$");
        assert_eq!(re2("a.b"), r"a[^\x{A}]b");
        assert_eq!(re2("(?s)a.b"), format!("a{ANYTHING}b"));
        assert_eq!(re2("a[^\\s\\S]"), format!("a{NOTHING}"));
        assert_eq!(re2("(?i)ok"), "[Oo][Kk\u{212a}]");
        assert_eq!(re2("(?x) a b # comment"), "ab");
        assert_eq!(re2(r"(?m)^a$"), "(?m:^)a(?m:$)");
        assert_eq!(re2(r"(?-u:\b)a+?b{2}(c){1,3}"), r"\b(?:a)+(?:b){2,2}(?:(?:c)){1,3}");
        assert_eq!(re2("[a-c.é]"), r"[\.a-cé]");
        assert_eq!(re2("[[:digit:]&&[^5]]"), "[0-46-9]");
        assert_eq!(re2("()(?P<x>a)|"), "(?:)(?:a)|");
    }

    #[test]
    fn what_only_one_side_reads_is_refused_with_a_sentence() {
        for (pattern, says) in [
            ("(", "unclosed group"),
            (r"a\", "incomplete escape"),
            ("[a", "unclosed character class"),
            ("*", "missing expression"),
            ("(?=a)", "look-around"),
            (r"(a)\1", "backreferences"),
            (r"\bword\b", r"(?-u:\b)"),
            (r"a\B", r"\B"),
            (r"\<a", r"\<"),
            (r"(?-u:\xff)", "UTF-8"),
            ("(?R)(?m)^a$", "differ between stores"),
            ("(a{40}){26}", "1000 times"),
            (&r"\w".repeat(10), "too large"),
            (r"\w{100}", "too large"),
        ] {
            let error = TextPattern::parse(pattern).expect_err(pattern);
            assert!(error.contains(says), "{pattern}: {error}");
        }
    }

    #[test]
    fn the_limits_hold_at_their_edges() {
        assert!(TextPattern::parse(&"ä".repeat(PATTERN_CHARS_MAX)).is_ok());
        assert!(TextPattern::parse(&"ä".repeat(PATTERN_CHARS_MAX + 1)).is_err());
        assert!(TextPattern::parse("(a{40}){25}").is_ok());
        assert!(TextPattern::parse("a{1000}").is_ok());
        assert!(TextPattern::parse("a{1001}").is_err());
    }

    #[test]
    fn a_plain_text_is_told_from_a_pattern() {
        let literal = |pattern| TextPattern::parse(pattern).expect(pattern).literal().map(str::to_owned);
        assert_eq!(literal(r"50\.1%"), Some("50.1%".to_owned()));
        assert_eq!(literal("a.c"), None);
        assert_eq!(literal(""), None);
    }
}
