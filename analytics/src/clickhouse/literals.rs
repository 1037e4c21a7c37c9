//! Text that goes into SQL for ClickHouse: strings with their quotes, and which names can be quoted at all.

use datafusion::sql::sqlparser::ast::{Expr, Ident};

/// `text` as a string literal. ClickHouse takes a backslash as an escape, so that doubling quotes is not enough: a text
/// with `\'` in it would end the literal and go on as SQL.
pub(super) fn quote(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for character in text.chars() {
        match character {
            '\\' => literal.push_str("\\\\"),
            '\'' => literal.push_str("\\'"),
            // The server's parser takes a raw NUL as the end of the query.
            '\0' => literal.push_str("\\0"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

/// Finished SQL as a node of a statement. A string node would be escaped once more when it is printed, by rules that are
/// not ClickHouse's; an identifier without quotes is printed as it is.
pub(super) fn finished(sql: impl Into<String>) -> Expr {
    Expr::Identifier(Ident::new(sql))
}

/// Whether `name` means the same in backticks as here. Names come from users' SQL, too; what would need escaping is
/// never sent.
pub(super) fn is_safe_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| matches!(c, '`' | '\\') || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_literal_early() {
        assert_eq!(quote("a"), "'a'");
        assert_eq!(quote(r"\' OR 1=1 --"), r"'\\\' OR 1=1 --'");
        assert_eq!(quote("'' \\"), r"'\'\' \\'");
        assert_eq!(quote("a\0b\n?"), "'a\\0b\n?'");
        assert_eq!(finished(quote("it's")).to_string(), r"'it\'s'");
    }

    #[test]
    fn names_that_need_escapes_are_not_safe() {
        assert!(is_safe_name("count(*)") && is_safe_name("Utf8(\"it's\")") && is_safe_name("größe"));
        assert!(!is_safe_name("") && !is_safe_name("a`b") && !is_safe_name("a\\") && !is_safe_name("a\nb"));
    }
}
