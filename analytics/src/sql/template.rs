//! Statements with gaps: `$name` stands for a value that is given later.
//!
//! A value never becomes a part of text that is read. It is a literal of its type, whose tokens stand where the token of
//! its gap stood. The text of the statement is made beside them, for people; it has to read as the same tokens.

use std::collections::BTreeSet;
use std::ops::Range;

use chrono::NaiveDate;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::statement::{self, Statement};
use crate::error::Error;

/// What a gap is filled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A time of so many days: an interval.
    Days(u32),
    /// A day of the calendar.
    Date(NaiveDate),
}

impl Literal {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            // Two signs in a row would begin a comment.
            Self::Integer(number) if *number < 0 => format!("({number})"),
            Self::Integer(number) => number.to_string(),
            Self::Days(days) => format!("INTERVAL '{days} days'"),
            Self::Date(date) => format!("DATE '{date}'"),
        }
    }

    /// Its text, and its tokens.
    fn written(&self) -> Result<(String, Vec<TokenWithSpan>), Error> {
        let text = self.text();
        let tokens = statement::tokens(&text)?;
        let is_one = match (self, tokens.as_slice()) {
            (Self::Text(value), [token]) => token.token == Token::SingleQuotedString(value.clone()),
            (Self::Text(_), _) => false,
            _ => true,
        };
        if is_one { Ok((text, tokens)) } else { Err(Error::Invalid("a text that cannot be written".to_owned())) }
    }
}

/// A statement with gaps.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    tokens: Vec<TokenWithSpan>,
    /// Where the gaps are in the text, in bytes.
    gaps: Vec<Range<usize>>,
}

/// A template whose gaps are filled.
#[derive(Debug, Clone)]
pub struct Bound {
    text: String,
    tokens: Vec<TokenWithSpan>,
}

impl Template {
    /// Takes a text apart, without a look at what it says.
    ///
    /// # Errors
    /// [`Error::TooMuch`] when it is longer than a statement may be, [`Error::Invalid`] when it cannot be taken apart.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let tokens = statement::tokens(text)?;
        let gaps = places(text, &tokens);
        Ok(Self { text: text.to_owned(), tokens, gaps })
    }

    /// The names of its gaps, in the order of the alphabet.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.tokens.iter().filter_map(|token| gap(&token.token)).collect()
    }

    /// Fills each gap with what `literal` gives for its name.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a name is unknown, or a value cannot stand where its gap is; [`Error::TooMuch`] when the
    /// statement becomes too long.
    pub fn bind(&self, literal: impl Fn(&str) -> Option<Literal>) -> Result<Bound, Error> {
        let (mut text, mut tokens) = (String::new(), Vec::new());
        let (mut gaps, mut end) = (self.gaps.iter(), 0);
        for token in &self.tokens {
            let Some(name) = gap(&token.token) else {
                tokens.push(token.clone());
                continue;
            };
            let value = literal(name).ok_or_else(|| Error::Invalid(unknown(&token.token)))?;
            let (written, of_value) = value.written()?;
            let place = gaps.next().ok_or_else(misplaced)?;
            text.push_str(&self.text[end..place.start]);
            text.push_str(&written);
            end = place.end;
            tokens.extend(of_value);
        }
        text.push_str(&self.text[end..]);
        let read = statement::tokens(&text)?;
        let is_same = read.iter().map(|token| &token.token).eq(tokens.iter().map(|token| &token.token));
        if is_same { Ok(Bound { text, tokens }) } else { Err(misplaced()) }
    }
}

impl Bound {
    /// The statement as text, with its values written out.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn read(&self) -> Result<Statement, Error> {
        statement::read_tokens(self.tokens.clone())
    }
}

fn gap(token: &Token) -> Option<&str> {
    match token {
        Token::Placeholder(name) => Some(name.strip_prefix('$').unwrap_or_default()),
        _ => None,
    }
}

fn unknown(gap: &Token) -> String {
    format!("{} is no parameter", statement::shown(gap))
}

fn misplaced() -> Error {
    Error::Invalid("a parameter stands where no value can stand: put spaces around it".to_owned())
}

/// Where the gaps are in the text. Tokens count lines and characters.
fn places(text: &str, tokens: &[TokenWithSpan]) -> Vec<Range<usize>> {
    let gaps = tokens.iter().filter(|token| gap(&token.token).is_some());
    let mut gaps = gaps.map(|token| (token.span.start, token.token.to_string().len())).peekable();
    let mut places = Vec::new();
    let (mut line, mut column) = (1, 1);
    for (at, c) in text.char_indices() {
        if let Some((_, bytes)) = gaps.next_if(|(start, _)| (start.line, start.column) == (line, column)) {
            places.push(at..at + bytes);
        }
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::STATEMENT_BYTES_MAX;
    use super::*;

    fn bound(text: &str, value: &Literal) -> Result<Bound, Error> {
        Template::parse(text)?.bind(|name| (name == "x").then(|| value.clone()))
    }

    fn text(text: &str, value: &Literal) -> String {
        bound(text, value).map_or_else(|error| format!("refused: {error}"), |bound| bound.text)
    }

    #[test]
    fn a_value_is_a_literal_of_its_type() {
        let date = NaiveDate::from_ymd_opt(2026, 11, 22).expect("a date");
        for (value, written) in [
            (Literal::Text("it's".to_owned()), "'it''s'"),
            (Literal::Integer(7), "7"),
            (Literal::Integer(-7), "(-7)"),
            (Literal::Days(14), "INTERVAL '14 days'"),
            (Literal::Date(date), "DATE '2026-11-22'"),
        ] {
            assert_eq!(text("SELECT $x, 'ä'\n -$x", &value), format!("SELECT {written}, 'ä'\n -{written}"));
        }
    }

    #[test]
    fn names_are_told_and_gaps_in_texts_and_comments_are_none() {
        let template = Template::parse("SELECT $b, '$c' /* $d */, $a, $b -- $e").expect("a template");
        assert_eq!(template.names().into_iter().collect::<Vec<_>>(), ["a", "b"]);
        let none = Template::parse("SELECT 1").expect("a template");
        assert_eq!(none.bind(|_| None).expect("no gaps").text(), "SELECT 1");
    }

    #[test]
    fn what_is_no_parameter_is_named() {
        let value = Literal::Integer(1);
        assert_eq!(text("SELECT $y", &value), "refused: $y is no parameter");
        assert_eq!(text("SELECT ?", &value), "refused: ? is no parameter");
    }

    #[test]
    fn a_value_cannot_become_a_part_of_what_is_beside_it() {
        for template in ["SELECT 1$x", "SELECT a$x", "SELECT $x'b'", "SELECT $x.5"] {
            for value in [Literal::Integer(1), Literal::Text("b".to_owned()), Literal::Days(1)] {
                let Ok(bound) = bound(template, &value) else { continue };
                let again = statement::tokens(bound.text()).expect("tokens");
                assert_eq!(again.len(), bound.tokens.len(), "{template} {value:?}: {}", bound.text());
            }
        }
        assert!(text("SELECT 1$x", &Literal::Integer(1)).starts_with("refused: a parameter stands where"));
    }

    #[test]
    fn what_becomes_too_long_is_refused() {
        let long = |chars: usize| Literal::Text("x".repeat(chars));
        let around = "SELECT ''".len();
        assert!(bound("SELECT $x", &long(STATEMENT_BYTES_MAX - around)).is_ok());
        assert!(matches!(bound("SELECT $x", &long(STATEMENT_BYTES_MAX - around + 1)), Err(Error::TooMuch(_))));
    }

    proptest! {
        #[test]
        fn a_text_stays_one_text(value in any::<String>()) {
            let bound = bound("SELECT $x FROM records", &Literal::Text(value.clone())).expect("bound");
            let texts: Vec<_> = bound.tokens.iter().filter(|t| matches!(t.token, Token::SingleQuotedString(_))).collect();
            prop_assert_eq!(texts.len(), 1);
            prop_assert_eq!(&texts[0].token, &Token::SingleQuotedString(value));
            prop_assert_eq!(bound.tokens.len(), 7);
            prop_assert!(matches!(bound.read(), Ok(Statement::Rows(_))));
        }

        #[test]
        fn a_number_stays_one_number(value in any::<i64>()) {
            let bound = bound("SELECT -$x", &Literal::Integer(value)).expect("bound");
            prop_assert!(matches!(bound.read(), Ok(Statement::Rows(_))));
        }
    }
}
