//! The functions that both sides answer equally, and how ClickHouse says them.
//!
//! This is the one list: what it does not translate is neither sent nor written.

use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use telemetrics_schema::attributes::is_name;
use telemetrics_schema::columns::{REPORTED_COLUMNS, reported};

use super::literals::quote;
use crate::checksum::{CHECKSUM, in_clickhouse};
use crate::guilty_of::{GUILTY_OF, GUILTY_TEXT, lists, texts};
use crate::regex::for_re2;
use crate::sql::{ATTRIBUTE, CONCAT_OPERATOR, attribute_pattern};

/// Aggregates that both sides answer equally, under the same name.
pub(super) const AGGREGATES: [&str; 6] = ["count", "sum", "min", "max", "avg", "bit_xor"];

/// A part of the SQL of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// SQL as it is.
    Text(String),
    /// The SQL of the argument with this index.
    Argument(usize),
}

/// The SQL of a call of `name` with `args`, `None` where ClickHouse has nothing that always answers the same.
pub(super) fn translate(name: &str, args: &[Expr]) -> Option<Vec<Piece>> {
    match (name, args) {
        ("lower", [_]) => Some(call("lowerUTF8", 1)),
        ("upper", [_]) => Some(call("upperUTF8", 1)),
        // Numbers without a sign have no type in common with those that have one.
        ("character_length", [_]) => Some(pieces("toInt32(lengthUTF8(", 1, "))")),
        ("octet_length", [_]) => Some(pieces("toInt32(length(", 1, "))")),
        ("strpos", [_, _]) => Some(pieces("toInt32(positionUTF8(", 2, "))")),
        ("starts_with", [_, _]) => Some(call("startsWith", 2)),
        ("ends_with", [_, _]) => Some(call("endsWith", 2)),
        ("contains", [_, _]) => Some(pieces("(position(", 2, ") > 0)")),
        ("coalesce", [_, ..]) => Some(call("coalesce", args.len())),
        ("nullif", [_, _]) => Some(call("nullIf", 2)),
        (CONCAT_OPERATOR, [_, _]) => Some(call("concat", 2)),
        ("concat", [_, _, ..]) => Some(call("concat", args.len())),
        ("btrim", [_]) => Some(call("trimBoth", 1)),
        ("ltrim", [_]) => Some(call("trimLeft", 1)),
        ("rtrim", [_]) => Some(call("trimRight", 1)),
        // Below, ClickHouse differs for empty texts, positions below one and the like: only arguments where it does not.
        ("replace", [_, from, _]) => text(from).filter(|from| !from.is_empty()).map(|_| call("replaceAll", 3)),
        ("left", [_, length]) => number(length).filter(|length| *length >= 0).map(|_| call("leftUTF8", 2)),
        ("substr", [_, start, rest @ ..]) => substr(start, rest, args.len()),
        ("split_part", [_, separator, part]) => split_part(separator, part),
        ("regexp_like", [_, pattern]) => regexp_like(text(pattern)?),
        ("date_trunc", [unit, _]) => date_trunc(text(unit)?),
        ("date_part", [part, _]) => date_part(text(part)?),
        (ATTRIBUTE, [_, name]) => text(name).filter(|name| is_name(name)).map(attribute),
        (GUILTY_OF, [_, table]) => transform(text(table)?),
        (GUILTY_TEXT, [_, table]) => transform_text(text(table)?),
        (CHECKSUM, columns) if columns.len() == REPORTED_COLUMNS => Some(checksum()),
        _ => None,
    }
}

fn call(function: &str, arguments: usize) -> Vec<Piece> {
    pieces(&format!("{function}("), arguments, ")")
}

fn pieces(before: &str, arguments: usize, after: &str) -> Vec<Piece> {
    let mut pieces = vec![Piece::Text(before.to_owned())];
    for index in 0..arguments {
        if index > 0 {
            pieces.push(Piece::Text(", ".to_owned()));
        }
        pieces.push(Piece::Argument(index));
    }
    pieces.push(Piece::Text(after.to_owned()));
    pieces
}

fn around(before: String, argument: usize, after: String) -> Vec<Piece> {
    vec![Piece::Text(before), Piece::Argument(argument), Piece::Text(after)]
}

fn substr(start: &Expr, length: &[Expr], arguments: usize) -> Option<Vec<Piece>> {
    let from_the_left = number(start)? >= 1 && length.iter().all(|l| number(l).is_some_and(|l| l >= 0));
    (from_the_left && arguments <= 3).then(|| call("substringUTF8", arguments))
}

fn split_part(separator: &Expr, part: &Expr) -> Option<Vec<Piece>> {
    let separator = text(separator).filter(|separator| !separator.is_empty())?;
    let part = number(part).filter(|part| *part >= 1)?;
    Some(around(format!("arrayElement(splitByString({}, ", quote(separator)), 0, format!("), {part})")))
}

fn regexp_like(pattern: &str) -> Option<Vec<Piece>> {
    let pattern = for_re2(pattern)?;
    Some(around("match(".to_owned(), 0, format!(", {})", quote(&pattern))))
}

/// The start of the unit, as an instant again: ClickHouse gives dates for long units and whole seconds for short ones.
fn date_trunc(unit: &str) -> Option<Vec<Piece>> {
    let unit = unit.to_ascii_lowercase();
    let known = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"].contains(&unit.as_str());
    known.then(|| around(format!("toDateTime64(dateTrunc('{unit}', "), 1, "), 6, 'UTC')".to_owned()))
}

fn date_part(part: &str) -> Option<Vec<Piece>> {
    let function = match part.to_ascii_lowercase().as_str() {
        "year" => "toYear",
        "quarter" => "toQuarter",
        "month" => "toMonth",
        "week" => "toISOWeek",
        "day" => "toDayOfMonth",
        "doy" => "toDayOfYear",
        "hour" => "toHour",
        "minute" => "toMinute",
        "second" => "toSecond",
        // Mode 2 counts from Sunday as 0.
        "dow" => return Some(around("toInt32(toDayOfWeek(".to_owned(), 1, ", 2))".to_owned())),
        _ => return None,
    };
    Some(around(format!("{function}("), 1, ")".to_owned()))
}

/// See `payloads.rs` of statements: the same pattern, then what its group says as JSON.
fn attribute(name: &str) -> Vec<Piece> {
    let pattern = quote(&attribute_pattern(name));
    around("JSONExtractString(concat('[\"', extract(".to_owned(), 0, format!(", {pattern}), '\"]'), 1)"))
}

/// See `guilty_of.rs`: the table is written into the query.
fn transform(table: &str) -> Option<Vec<Piece>> {
    let (stacks, guilties) = lists(table)?;
    if stacks.is_empty() {
        return Some(around("toInt64(0 * ".to_owned(), 0, ")".to_owned()));
    }
    let lists = format!(", CAST([{stacks}] AS Array(Int64)), CAST([{guilties}] AS Array(Int64)), toInt64(0))");
    Some(around("transform(".to_owned(), 0, lists))
}

/// The same for texts, which are quoted as any text of users.
fn transform_text(table: &str) -> Option<Vec<Piece>> {
    let texts = texts(table)?;
    if texts.is_empty() {
        return Some(around("substring(toString(".to_owned(), 0, "), 1, 0)".to_owned()));
    }
    let guilties = texts.keys().map(i64::to_string).collect::<Vec<_>>().join(",");
    let texts = texts.values().map(|text| quote(text)).collect::<Vec<_>>().join(",");
    Some(around("transform(".to_owned(), 0, format!(", CAST([{guilties}] AS Array(Int64)), [{texts}], '')")))
}

/// See `checksum.rs`: the same text of a row, and the same hash.
fn checksum() -> Vec<Piece> {
    let mut pieces = vec![Piece::Text("reinterpretAsInt64(sipHash64(concat(".to_owned())];
    for (index, column) in reported().iter().enumerate() {
        for (at, part) in in_clickhouse(column.kind).split("{}").enumerate() {
            if at > 0 {
                pieces.push(Piece::Argument(index));
            }
            pieces.push(Piece::Text(part.to_owned()));
        }
        let behind = if index + 1 < REPORTED_COLUMNS { ", " } else { ")))" };
        pieces.push(Piece::Text(behind.to_owned()));
    }
    pieces
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text), _) => {
            text.as_deref()
        }
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(number), _) => *number,
        Expr::Literal(ScalarValue::Int32(number), _) => number.map(i64::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn sql(name: &str, args: &[Expr]) -> Option<String> {
        let pieces = translate(name, args)?;
        let text = pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Argument(index) => format!("${index}"),
        });
        Some(text.collect())
    }

    #[test]
    fn unknown_functions_are_denied() {
        assert_eq!(sql("reverse", &[col("a")]), None);
        assert_eq!(sql("lower", &[col("a"), col("b")]), None, "another number of arguments");
    }

    #[test]
    fn only_arguments_that_mean_the_same_are_allowed() {
        assert_eq!(sql("substr", &[col("a"), lit(1_i64), lit(2_i64)]).as_deref(), Some("substringUTF8($0, $1, $2)"));
        assert_eq!(sql("substr", &[col("a"), lit(0_i64)]), None);
        assert_eq!(sql("substr", &[col("a"), col("b")]), None);
        assert_eq!(sql("replace", &[col("a"), lit(""), lit("x")]), None);
        let part = sql("split_part", &[col("a"), lit("'"), lit(2_i64)]);
        assert_eq!(part.as_deref(), Some(r"arrayElement(splitByString('\'', $0), 2)"));
        assert_eq!(sql("split_part", &[col("a"), lit("/"), lit(-1_i64)]), None);
        assert_eq!(sql("date_part", &[lit("epoch"), col("t")]), None);
        let start = sql("date_trunc", &[lit("HOUR"), col("t")]);
        assert_eq!(start.as_deref(), Some("toDateTime64(dateTrunc('hour', $1), 6, 'UTC')"));
        assert_eq!(sql("date_trunc", &[lit("x')"), col("t")]), None);
    }

    #[test]
    fn regular_expressions_are_written_for_the_other_engine() {
        let like = |pattern: &str| sql("regexp_like", &[col("a"), lit(pattern)]);
        assert_eq!(like("^(it's|a.c)$").as_deref(), Some(r"match($0, '^(?:it[\\\']s|a[^\\x{A}]c)$')"));
        assert_eq!(like(r"\bword\b"), None);
        assert_eq!(like("("), None);
        assert_eq!(sql("regexp_like", &[col("a"), col("b")]), None);
    }
}
