//! What may be said at all: reads the text of a statement, and refuses what is not one that only asks.
//!
//! Everything here looks at the statement as it was parsed, before a name in it means anything.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DescribeAlias, Expr, Function, ObjectName, Query, Select, SetExpr, ShowStatementFilterPosition,
    ShowStatementInParentType, ShowStatementOptions, Statement as Parsed, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use telemetrics_schema::columns::RECORDS;

use super::doubling::{self, DOUBLINGS_MAX};
use super::functions::is_function;
use crate::error::Error;

/// Longest statement, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 64 << 10;
/// Most keywords and operators of a statement. Whatever nests without parentheses, as a long sum does, has one of them
/// for each level, and each level is a frame on the stack of all that walks over it. Planning takes a time that grows with
/// the square of it.
pub const OPERATORS_MAX: usize = 1_000;
/// Deepest nesting of parentheses, calls and subqueries.
const NESTING_MAX: usize = 50;
/// What is read, as errors call it.
const A_STATEMENT: &str = "a statement";
/// The grammar of statements.
const DIALECT: GenericDialect = GenericDialect {};
/// Longest part of a statement that an error repeats, in characters.
const SHOWN_CHARS: usize = 100;

/// A statement that may be answered.
#[derive(Debug)]
pub(super) enum Statement {
    /// The rows of a query.
    Rows(Box<Query>),
    /// How a query would be answered.
    Plan(Box<Query>),
    /// The columns that a query has.
    Columns(Box<Query>),
    /// The columns of a table.
    Table(String),
    /// Which tables there are.
    Tables,
}

/// Reads one statement.
///
/// # Errors
/// [`Error::Invalid`] when it is none, or none that only asks; [`Error::TooMuch`] when it is too long or too deep.
pub(super) fn read(text: &str) -> Result<Statement, Error> {
    read_tokens(tokens(text)?)
}

/// As [`read`], of a text that was taken apart.
///
/// # Errors
/// As [`read`].
pub(super) fn read_tokens(tokens: Vec<TokenWithSpan>) -> Result<Statement, Error> {
    let mut statements = parse(tokens)?;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        return Err(Error::Invalid("one statement is answered at a time, and there has to be one".to_owned()));
    };
    let refusal = match statement.visit(&mut Refusals) {
        ControlFlow::Break(refusal) => Some(refusal),
        ControlFlow::Continue(()) => None,
    };
    match (kind(statement), refusal) {
        (Ok(statement), None) => Ok(statement),
        (Err(refusal), _) | (_, Some(refusal)) => Err(Error::Invalid(refusal)),
    }
}

/// Reads one expression over the table of records, as a query for it alone.
///
/// # Errors
/// As [`read`]; [`Error::TooMuch`] above `bytes_max`, or `operators_max` keywords and operators.
pub(super) fn of_expression(text: &str, bytes_max: usize, operators_max: usize) -> Result<Box<Query>, Error> {
    let what = "an expression";
    let mut parser = parser(tokens_of(text, what, bytes_max)?, what, operators_max)?;
    parser.parse_expr().and_then(|_| parser.expect_token(&Token::EOF)).map_err(not_parsed)?;
    // By itself the text is one expression and nothing else, so that it is one inside of parentheses too; the ends of
    // lines are for comments.
    match read(&format!("SELECT (\n{text}\n) FROM {RECORDS}"))? {
        Statement::Rows(query) => Ok(query),
        _ => Err(Error::Invalid("this is no expression".to_owned())),
    }
}

/// Takes the text of a statement apart.
///
/// # Errors
/// [`Error::Invalid`] when that cannot be done, [`Error::TooMuch`] when it is too long.
pub(super) fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, Error> {
    tokens_of(text, A_STATEMENT, STATEMENT_BYTES_MAX)
}

fn tokens_of(text: &str, what: &str, bytes_max: usize) -> Result<Vec<TokenWithSpan>, Error> {
    if text.len() > bytes_max {
        return Err(Error::TooMuch(format!("{what} has at most {bytes_max} bytes")));
    }
    let tokens = Tokenizer::new(&DIALECT, text).tokenize_with_location();
    tokens.map_err(|error| Error::Invalid(format!("this is no SQL: {}", shown(&error))))
}

fn parse(tokens: Vec<TokenWithSpan>) -> Result<Vec<Parsed>, Error> {
    parser(tokens, A_STATEMENT, OPERATORS_MAX)?.parse_statements().map_err(not_parsed)
}

/// A parser of what has at most so many keywords and operators.
fn parser(tokens: Vec<TokenWithSpan>, what: &str, operators_max: usize) -> Result<Parser<'static>, Error> {
    if tokens.iter().filter(|token| is_operator(&token.token)).count() > operators_max {
        return Err(Error::TooMuch(format!("{what} has at most {operators_max} keywords and operators")));
    }
    if doubling::most(&tokens) > DOUBLINGS_MAX {
        let reason =
            format!("{what} has at most {DOUBLINGS_MAX} points of names and special functions around one place");
        return Err(Error::TooMuch(reason));
    }
    Ok(Parser::new(&DIALECT).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens))
}

fn not_parsed(error: ParserError) -> Error {
    match error {
        ParserError::RecursionLimitExceeded => Error::TooMuch("a statement that is nested less deeply".to_owned()),
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
            Error::Invalid(format!("this is no SQL: {}", shown(&text)))
        }
    }
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Comma
        | Token::Whitespace(_)
        | Token::LParen
        | Token::RParen
        | Token::EOF => false,
        _ => true,
    }
}

/// What is asked, or why it is not answered.
fn kind(statement: Parsed) -> Result<Statement, String> {
    match statement {
        Parsed::Query(query) => Ok(Statement::Rows(query)),
        Parsed::ExplainTable { table_name, hive_format: None, .. } => Ok(Statement::Table(table_name.to_string())),
        Parsed::ShowColumns { extended: false, full: false, show_options } => shown_table(show_options),
        Parsed::ShowTables { terse: false, history: false, extended: false, full: false, external: false, .. } => {
            Ok(Statement::Tables)
        }
        Parsed::Explain { analyze: true, .. } => {
            Err("EXPLAIN ANALYZE is not answered: it runs the statement; EXPLAIN says how it would be run".to_owned())
        }
        Parsed::Explain {
            describe_alias,
            analyze: false,
            verbose: false,
            query_plan: false,
            estimate: false,
            statement,
            format: None,
            options: None,
        } => match (kind(*statement)?, describe_alias) {
            (Statement::Rows(query), DescribeAlias::Explain) => Ok(Statement::Plan(query)),
            (Statement::Rows(query), _) => Ok(Statement::Columns(query)),
            _ => Err("EXPLAIN is answered for queries only".to_owned()),
        },
        Parsed::Explain { .. } => Err("EXPLAIN is answered without any more words".to_owned()),
        other => Err(not_answered(&other)),
    }
}

fn shown_table(options: ShowStatementOptions) -> Result<Statement, String> {
    let name = options.show_in.filter(|_| options.filter_position.is_none_or(|p| is_no_filter(&p)));
    match name {
        Some(place) if matches!(place.parent_type, None | Some(ShowStatementInParentType::Table)) => {
            place.parent_name.map(|name| Statement::Table(name.to_string()))
        }
        _ => None,
    }
    .ok_or_else(|| "SHOW COLUMNS is answered as SHOW COLUMNS FROM a table".to_owned())
}

fn is_no_filter(_: &ShowStatementFilterPosition) -> bool {
    false
}

/// Names a statement by the words that it begins with.
fn not_answered(statement: &Parsed) -> String {
    let text = statement.to_string();
    let words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let name: Vec<String> = words.take(1).map(str::to_ascii_uppercase).collect();
    format!(
        "{} is not answered: a statement is SELECT, EXPLAIN, DESCRIBE, SHOW COLUMNS or SHOW TABLES, and changes nothing",
        name.concat()
    )
}

/// Looks for parts of a statement that are refused.
struct Refusals;

impl Visitor for Refusals {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let refused = if query.with.as_ref().is_some_and(|with| with.recursive) {
            Some("WITH RECURSIVE")
        } else if !query.locks.is_empty() || query.for_clause.is_some() {
            Some("FOR behind a query")
        } else if query.settings.is_some() {
            Some("SETTINGS")
        } else if query.format_clause.is_some() {
            Some("FORMAT (say it with the parameter `format`)")
        } else if !query.pipe_operators.is_empty() {
            Some("the operator |>")
        } else {
            changes(&query.body)
        };
        refuse(refused)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        let refused = if select.into.is_some() {
            Some("SELECT INTO")
        } else if !select.lateral_views.is_empty() {
            Some("LATERAL VIEW")
        } else if !select.connect_by.is_empty() {
            Some("CONNECT BY")
        } else {
            None
        };
        refuse(refused)
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<String> {
        match table {
            TableFactor::Table { args: None, sample: None, version: None, json_path: None, .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::Derived { lateral: false, sample: None, .. } => ControlFlow::Continue(()),
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                ControlFlow::Break(format!("the table function {} is not answered", shown(name)))
            }
            other => ControlFlow::Break(format!("`{}` is not answered as a table", shown(other))),
        }
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<String> {
        match name.0.as_slice() {
            [part] if part.as_ident().is_some() => ControlFlow::Continue(()),
            _ => ControlFlow::Break(format!("there is no table {}: tables have one name", shown(name))),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match expr {
            Expr::Function(Function { name, .. }) if !is_known(name) => {
                ControlFlow::Break(format!("the function {} is not answered", shown(name)))
            }
            Expr::Array(_) | Expr::Dictionary(_) | Expr::Map(_) | Expr::Struct { .. } => {
                ControlFlow::Break(format!("`{}` is not answered: no value is a list or a structure", shown(expr)))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn refuse(refused: Option<&str>) -> ControlFlow<String> {
    refused.map_or(ControlFlow::Continue(()), |what| ControlFlow::Break(format!("{what} is not answered")))
}

/// The first part of a query that is no query.
fn changes(body: &SetExpr) -> Option<&'static str> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => None,
        SetExpr::SetOperation { left, right, .. } => changes(left).or_else(|| changes(right)),
        SetExpr::Insert(_) => Some("INSERT inside of a query"),
        SetExpr::Update(_) => Some("UPDATE inside of a query"),
        SetExpr::Delete(_) => Some("DELETE inside of a query"),
        SetExpr::Merge(_) => Some("MERGE inside of a query"),
        SetExpr::Table(_) => Some("TABLE (write SELECT * FROM)"),
    }
}

fn is_known(name: &ObjectName) -> bool {
    match name.0.as_slice() {
        [part] => part.as_ident().is_some_and(|ident| is_function(&ident.value.to_ascii_lowercase())),
        _ => false,
    }
}

/// The beginning of what somebody wrote.
pub(super) fn shown(what: &impl std::fmt::Display) -> String {
    let text = what.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match read(text) {
            Ok(statement) => panic!("{text} is {statement:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_only_asks_is_read() {
        assert!(matches!(read("SELECT 1;"), Ok(Statement::Rows(_))));
        assert!(matches!(read("(SELECT 1) UNION ALL VALUES (2)"), Ok(Statement::Rows(_))));
        assert!(matches!(read("EXPLAIN SELECT 1"), Ok(Statement::Plan(_))));
        assert!(matches!(read("DESCRIBE SELECT 1"), Ok(Statement::Columns(_))));
        assert!(matches!(read("describe records"), Ok(Statement::Table(name)) if name == "records"));
        assert!(matches!(read("SHOW COLUMNS FROM records"), Ok(Statement::Table(name)) if name == "records"));
        assert!(matches!(read("show tables"), Ok(Statement::Tables)));
        assert!(matches!(read("SELECT CURRENT_TIMESTAMP, count(*) FROM records r"), Ok(Statement::Rows(_))));
    }

    #[test]
    fn one_statement_at_a_time() {
        for text in ["", ";", "-- nothing", "SELECT 1; SELECT 2"] {
            assert!(refusal(text).starts_with("one statement"), "{text}");
        }
    }

    #[test]
    fn the_length_has_an_end() {
        let long = |bytes: usize| format!("SELECT '{}'", "x".repeat(bytes - 9));
        assert!(read(&long(STATEMENT_BYTES_MAX)).is_ok());
        assert!(matches!(read(&long(STATEMENT_BYTES_MAX + 1)), Err(Error::TooMuch(_))));
    }

    #[test]
    fn what_nests_has_an_end() {
        let sum = |operators: usize| format!("SELECT 1{}", "+1".repeat(operators));
        assert!(read(&sum(OPERATORS_MAX - 1)).is_ok());
        assert!(matches!(read(&sum(OPERATORS_MAX)), Err(Error::TooMuch(_))));
        let deep = |levels: usize| format!("SELECT {}1{}", "(".repeat(levels), ")".repeat(levels));
        assert!(read(&deep(20)).is_ok());
        assert!(matches!(read(&deep(1_000)), Err(Error::TooMuch(_))));
        assert!(matches!(read(&format!("SELECT {}true", "NOT ".repeat(OPERATORS_MAX))), Err(Error::TooMuch(_))));
        // Each of these would be read for hours.
        for again in ["a.", "a.a[", "CAST(", "POSITION(", "SUBSTRING(", "ARRAY["] {
            assert!(matches!(read(&format!("SELECT {}:", again.repeat(45))), Err(Error::TooMuch(_))), "{again}");
            assert!(matches!(read(&format!("SELECT {}:", again.repeat(5))), Err(Error::Invalid(_))), "{again}");
        }
    }
}
