//! How often a parser may have to read the same text again, before it begins.
//!
//! Where several things may stand, the parser tries one, and on an error goes back and tries the next: behind each point of
//! a name (`a.b.c`), and behind words that are functions of a grammar of their own (`CAST(`, `POSITION(`, `ARRAY[`). An
//! error inside of many of these is found again by each way through them, and they are as many as two or three to the power
//! of their number: a line of text would take hours. Its limit of nesting is far above that, so they have their own.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Most points and such words around one place of a text: what stands there may be read some ten thousand times.
pub(super) const DOUBLINGS_MAX: usize = 10;

/// Words in front of a parenthesis behind which there is only one way on.
const ONE_WAY: [Keyword; 25] = [
    Keyword::ALL,
    Keyword::AND,
    Keyword::ANY,
    Keyword::AS,
    Keyword::BETWEEN,
    Keyword::BY,
    Keyword::DISTINCT,
    Keyword::ELSE,
    Keyword::EXCEPT,
    Keyword::FILTER,
    Keyword::FROM,
    Keyword::HAVING,
    Keyword::IN,
    Keyword::INTERSECT,
    Keyword::JOIN,
    Keyword::LIKE,
    Keyword::ON,
    Keyword::OR,
    Keyword::OVER,
    Keyword::SELECT,
    Keyword::THEN,
    Keyword::UNION,
    Keyword::VALUES,
    Keyword::WHEN,
    Keyword::WHERE,
];

/// The most points and such words that are around one place.
pub(super) fn most(tokens: &[TokenWithSpan]) -> usize {
    let mut levels = Levels { open: vec![0], all: 0, most: 0 };
    let mut before = &Token::EOF;
    for token in tokens.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_))) {
        match token {
            Token::Period => levels.add(),
            Token::LParen | Token::LBracket | Token::LBrace => {
                if has_several_ways(before) {
                    levels.add();
                }
                levels.open.push(0);
            }
            Token::RParen | Token::RBracket | Token::RBrace => levels.close(),
            // Behind a point a name goes on, else another one begins.
            _ if *before != Token::Period => levels.begin(),
            _ => {}
        }
        before = token;
    }
    levels.most
}

fn has_several_ways(before: &Token) -> bool {
    matches!(before, Token::Word(word) if word.keyword != Keyword::NoKeyword && !ONE_WAY.contains(&word.keyword))
}

/// What was counted at each level of parentheses that is open.
struct Levels {
    open: Vec<usize>,
    all: usize,
    most: usize,
}

impl Levels {
    fn add(&mut self) {
        if let Some(level) = self.open.last_mut() {
            *level += 1;
        }
        self.all += 1;
        self.most = self.most.max(self.all);
    }

    fn begin(&mut self) {
        if let Some(level) = self.open.last_mut() {
            self.all -= std::mem::take(level);
        }
    }

    /// What stands around it all is never closed.
    fn close(&mut self) {
        if self.open.len() > 1 {
            self.all -= self.open.pop().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn most_of(text: &str) -> usize {
        most(&Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().expect(text))
    }

    #[test]
    fn what_people_write_has_few() {
        for (text, expected) in [
            ("SELECT 1", 0),
            ("SELECT r.build, count(*) FROM records r WHERE r.severity > 2 GROUP BY r.build", 1),
            ("SELECT a.x + b.x + c.x + d.x, e.x FROM t a, t b", 1),
            ("SELECT 1 FROM (SELECT 1 FROM (SELECT 1 FROM records WHERE (a OR (b AND (c OR d)))))", 0),
            ("SELECT CAST(substring(r.payload, 1, 3) AS BIGINT) FROM records r", 3),
            ("SELECT a.b.c(d.e).f", 3),
        ] {
            assert_eq!(most_of(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_read_again_and_again_is_counted_around_each_place() {
        for once in ["a.", "a.a[", "CAST(", "POSITION(", "SUBSTRING(", "ARRAY[", "a.f(", "a . -- x\n"] {
            assert!(most_of(&format!("SELECT {}", once.repeat(12))) >= 12, "{once}");
        }
        assert_eq!(most_of(&"CAST(a.b), ".repeat(12)), 2, "side by side is not inside");
    }
}
