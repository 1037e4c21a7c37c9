//! A parameter of a view: what values it takes, and how one becomes a literal of its statement.

use chrono::NaiveDate;
use telemetrics_analytics::sql::Literal;

use crate::error::InvalidParameter;

/// Longest name of a parameter, in characters.
pub const NAME_CHARS: usize = 40;
/// Longest value of a parameter, in characters.
pub const VALUE_CHARS: usize = 256;
/// Largest whole number, and without its sign the smallest: every reader of JSON holds it exactly.
pub const INTEGER_MAX: i64 = 1 << 53;
/// Most days.
pub const DAYS_MAX: i64 = 3_650;

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the statement, behind `$`, and in the address of the page.
    pub name: String,
    /// What people read above its field.
    pub label: String,
    /// What values it takes.
    pub kind: Kind,
    /// Its value where none is given; `None` for the usual system.
    pub default: Option<String>,
}

/// What values a parameter takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A text, which may be empty.
    Text,
    /// A whole number between two others, both included.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A number of days, in the statement an interval.
    Days,
    /// A day of the calendar.
    Date,
    /// One of a few texts.
    Choice(Vec<String>),
    /// The name of a system; the usual one unless there is a default.
    System,
}

impl Parameter {
    /// What `text` is in the statement.
    ///
    /// # Errors
    /// When it is no value of this parameter.
    pub fn literal(&self, text: &str) -> Result<Literal, InvalidParameter> {
        let found = if text.chars().any(char::is_control) { None } else { self.kind.literal(text) };
        found.ok_or_else(|| InvalidParameter::new(self.name.clone(), format!("must be {}", self.kind.allowed())))
    }
}

impl Kind {
    fn literal(&self, text: &str) -> Option<Literal> {
        match self {
            Self::Text | Self::System => (text.chars().count() <= VALUE_CHARS).then(|| Literal::Text(text.to_owned())),
            Self::Choice(choices) => {
                choices.iter().any(|choice| choice == text).then(|| Literal::Text(text.to_owned()))
            }
            Self::Integer { min, max } => whole(text, *min, *max).map(Literal::Integer),
            Self::Days => u32::try_from(whole(text, 1, DAYS_MAX)?).ok().map(Literal::Days),
            Self::Date => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(Literal::Date),
        }
    }

    /// What is allowed, as the end of a sentence.
    fn allowed(&self) -> String {
        match self {
            Self::Text | Self::System => {
                format!("a text of at most {VALUE_CHARS} characters, none a control character")
            }
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Days => format!("a whole number of days from 1 to {DAYS_MAX}"),
            Self::Date => "a date as 2026-11-22".to_owned(),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
        }
    }
}

fn whole(text: &str, min: i64, max: i64) -> Option<i64> {
    text.parse().ok().filter(|number| (min..=max).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(kind: Kind, text: &str) -> Result<Literal, String> {
        let parameter = Parameter { name: "x".to_owned(), label: String::new(), kind, default: None };
        parameter.literal(text).map_err(|invalid| invalid.to_string())
    }

    fn refused(kind: &Kind, texts: &[&str]) {
        for text in texts {
            let refusal = literal(kind.clone(), text).expect_err(text);
            assert!(refusal.starts_with("x must be "), "{refusal}");
        }
    }

    #[test]
    fn a_text_has_an_end_and_no_control_characters() {
        let long = |chars: usize| "ä".repeat(chars);
        for kind in [Kind::Text, Kind::System] {
            assert_eq!(literal(kind.clone(), "it's"), Ok(Literal::Text("it's".to_owned())));
            assert!(literal(kind.clone(), "").is_ok() && literal(kind.clone(), &long(VALUE_CHARS)).is_ok());
            refused(&kind, &[&long(VALUE_CHARS + 1), "a\0", "a\nb"]);
        }
    }

    #[test]
    fn numbers_are_within_their_limits() {
        let few = Kind::Integer { min: -3, max: 4 };
        assert_eq!(literal(few.clone(), "-3"), Ok(Literal::Integer(-3)));
        assert_eq!(literal(few.clone(), "4"), Ok(Literal::Integer(4)));
        refused(&few, &["-4", "5", "", "1.0", "0x1", " 1", "1; DROP TABLE records", "99999999999999999999"]);
        assert_eq!(literal(Kind::Days, "1"), Ok(Literal::Days(1)));
        assert_eq!(literal(Kind::Days, &DAYS_MAX.to_string()), Ok(Literal::Days(3_650)));
        refused(&Kind::Days, &["0", "3651", "-1", "1 day"]);
    }

    #[test]
    fn dates_and_choices_are_what_they_say() {
        let date = NaiveDate::from_ymd_opt(2026, 2, 28).expect("a date");
        assert_eq!(literal(Kind::Date, "2026-02-28"), Ok(Literal::Date(date)));
        refused(&Kind::Date, &["2026-02-29", "22.11.2026", "", "2026-02-28'"]);
        let choice = Kind::Choice(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(literal(choice.clone(), "b"), Ok(Literal::Text("b".to_owned())));
        refused(&choice, &["c", "", "a, b", "A"]);
    }
}
