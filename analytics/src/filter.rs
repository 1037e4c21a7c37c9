//! Which records a question is about: the filters of the records API as one value, and as a predicate.

use std::collections::BTreeMap;

use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::{contains, regexp_like};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::scalar::ScalarValue;
use telemetrics_schema::attributes::{ATTRIBUTES, piece};
use telemetrics_schema::{RecordId, TimestampUs};

use crate::regex::TextPattern;

/// Longest classification that a filter may name, in characters.
pub const CLASSIFICATION_CHARS_MAX: usize = 140;

/// A class by its whole name, or all classes that begin with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassPattern {
    /// Exactly this classification.
    Exact(String),
    /// Every classification that begins with this.
    Prefix(String),
}

impl ClassPattern {
    /// Reads `a/b/c`, `a/b/*`, `a/*` or `*`; the old spelling `%` stands for `*`.
    ///
    /// # Errors
    /// A sentence that says what is wrong: too long, or something behind the `*`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > CLASSIFICATION_CHARS_MAX {
            return Err(format!("is longer than {CLASSIFICATION_CHARS_MAX} characters"));
        }
        match text.split_once(['*', '%']) {
            None => Ok(Self::Exact(text.to_owned())),
            Some((prefix, "")) => Ok(Self::Prefix(prefix.to_owned())),
            // `a/%/%` was how the original asked for all of `a`.
            Some((prefix, rest)) if rest.chars().all(|c| matches!(c, '*' | '%' | '/')) => {
                Ok(Self::Prefix(prefix.to_owned()))
            }
            Some(_) => Err("may have a * only at its end".to_owned()),
        }
    }

    /// Whether a classification is one of them.
    #[must_use]
    pub fn matches(&self, classification: &str) -> bool {
        match self {
            Self::Exact(class) => class == classification,
            Self::Prefix(prefix) => classification.starts_with(prefix.as_str()),
        }
    }

    /// The pattern over the column; `None` when everything matches.
    pub(crate) fn predicate(&self) -> Option<Expr> {
        let column = || col("classification");
        match self {
            Self::Exact(class) => Some(column().eq(text(class))),
            Self::Prefix(prefix) if prefix.is_empty() => None,
            // A range, and not LIKE: statistics prune it, and there is nothing to escape.
            Self::Prefix(prefix) => Some(match successor(prefix) {
                Some(end) => column().gt_eq(text(prefix)).and(column().lt(text(&end))),
                None => column().gt_eq(text(prefix)),
            }),
        }
    }
}

/// The least text above all that begin with `prefix`.
fn successor(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// What a record must be like; a filter that is not set lets everything pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordFilter {
    /// Classification.
    pub classification: Option<ClassPattern>,
    /// Not this classification; no parameter says so, but some questions do.
    pub not_classification: Option<String>,
    /// One of these severities.
    pub severities: Vec<i8>,
    /// Exactly this machine.
    pub machine_id: Option<String>,
    /// One of these builds.
    pub builds: Vec<String>,
    /// Exactly this operating system.
    pub system_name: Option<String>,
    /// Exactly this processor architecture.
    pub arch: Option<String>,
    /// Exactly this kernel.
    pub kernel_version: Option<String>,
    /// Exactly this hardware.
    pub host_type: Option<String>,
    /// Exactly this event.
    pub event_id: Option<String>,
    /// Whether the record has to come from outside (`true`) or from inside.
    pub external: Option<bool>,
    /// Found somewhere in the payload.
    pub payload: Option<TextPattern>,
    /// Found nowhere in the payload.
    pub not_payload: Option<TextPattern>,
    /// Received at or after.
    pub received_from: Option<TimestampUs>,
    /// Received before.
    pub received_before: Option<TimestampUs>,
    /// Captured after.
    pub captured_after: Option<TimestampUs>,
    /// Captured at or after.
    pub captured_from: Option<TimestampUs>,
    /// Captured before.
    pub captured_before: Option<TimestampUs>,
    /// Identifiers from this one on.
    pub from_id: Option<RecordId>,
    /// Attributes that have exactly these values, by name.
    pub attributes: BTreeMap<String, String>,
}

impl RecordFilter {
    /// Whether every record passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The filter over the columns of the table of records; `None` when every record passes.
    #[must_use]
    pub fn predicate(&self) -> Option<Expr> {
        let equal = |column: &str, value: &Option<String>| value.as_ref().map(|v| col(column).eq(text(v)));
        let parts = [
            self.classification.as_ref().and_then(ClassPattern::predicate),
            self.not_classification.as_ref().map(|class| col("classification").not_eq(text(class))),
            one_of("severity", self.severities.iter().map(|s| lit(*s)).collect()),
            equal("machine_id", &self.machine_id),
            one_of("build", self.builds.iter().map(|b| text(b)).collect()),
            equal("system_name", &self.system_name),
            equal("arch", &self.arch),
            equal("kernel_version", &self.kernel_version),
            equal("host_type", &self.host_type),
            equal("event_id", &self.event_id),
            self.external.map(|external| if external { col("external") } else { !col("external") }),
            self.received_from.map(|t| col("ts_reception").gt_eq(instant(t))),
            self.received_before.map(|t| col("ts_reception").lt(instant(t))),
            self.captured_after.map(|t| col("ts_capture").gt(instant(t))),
            self.captured_from.map(|t| col("ts_capture").gt_eq(instant(t))),
            self.captured_before.map(|t| col("ts_capture").lt(instant(t))),
            self.from_id.map(|id| col("id").gt_eq(lit(id.0))),
            self.payload.as_ref().map(in_payload),
            self.not_payload.as_ref().map(|pattern| !in_payload(pattern)),
        ];
        let attributes = self.attributes.iter().map(|(name, value)| has_attribute(name, value));
        parts.into_iter().flatten().chain(attributes).reduce(Expr::and)
    }

    /// The records of `records` that pass.
    pub(crate) fn of(&self, records: DataFrame) -> datafusion::error::Result<DataFrame> {
        match self.predicate() {
            Some(predicate) => records.filter(predicate),
            None => Ok(records),
        }
    }
}

/// See `attributes.rs` of the schema: the piece stands in the text exactly where the attribute has this value.
fn has_attribute(name: &str, value: &str) -> Expr {
    contains(col(ATTRIBUTES), text(&piece(name, value)))
}

/// The empty group keeps the query engine from turning simple patterns into LIKE, where it forgets that a backslash is
/// an escape; plain texts have a faster search anyway.
fn in_payload(pattern: &TextPattern) -> Expr {
    match pattern.literal() {
        Some(literal) => contains(col("payload"), text(literal)),
        None => regexp_like(col("payload"), text(&format!("(){}", pattern.as_str())), None),
    }
}

fn one_of(column: &str, mut values: Vec<Expr>) -> Option<Expr> {
    match values.len() {
        0 => None,
        1 => values.pop().map(|value| col(column).eq(value)),
        _ => Some(col(column).in_list(values, false)),
    }
}

/// A text literal of the type that the columns have.
pub(crate) fn text(value: &str) -> Expr {
    lit(ScalarValue::Utf8View(Some(value.to_owned())))
}

/// An instant as a literal of the type that the columns have.
pub(crate) fn instant(time: TimestampUs) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(time.0), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_the_rest() {
        let prefix = |text: &str| Ok(ClassPattern::Prefix(text.to_owned()));
        assert_eq!(ClassPattern::parse("a/b/c"), Ok(ClassPattern::Exact("a/b/c".into())));
        assert_eq!(ClassPattern::parse("a/b/*"), prefix("a/b/"));
        assert_eq!(ClassPattern::parse("a/b%"), prefix("a/b"));
        assert_eq!(ClassPattern::parse("a/*/*"), prefix("a/"));
        assert_eq!(ClassPattern::parse("*"), prefix(""));
        assert!(ClassPattern::parse("a/*/c").is_err());
    }

    #[test]
    fn a_class_may_have_140_characters() {
        assert!(ClassPattern::parse(&"ä".repeat(CLASSIFICATION_CHARS_MAX)).is_ok());
        assert!(ClassPattern::parse(&"ä".repeat(CLASSIFICATION_CHARS_MAX + 1)).is_err());
    }

    #[test]
    fn the_successor_is_above_everything_with_the_prefix() {
        assert_eq!(successor("a/"), Some("a0".into()));
        assert_eq!(successor("a\u{d7ff}"), Some("a\u{e000}".into()), "the next scalar value, over the surrogates");
        assert_eq!(successor("a\u{10ffff}"), Some("b".into()));
        assert_eq!(successor("\u{10ffff}"), None);
    }

    #[test]
    fn an_empty_filter_has_no_predicate() {
        assert!(RecordFilter::default().predicate().is_none());
        let one = RecordFilter { severities: vec![3], ..RecordFilter::default() };
        assert!(one.predicate().is_some() && !one.is_empty());
    }
}
