//! One entry of the history, and its form as a line of JSON.

use serde::{Deserialize, Serialize};

use super::{Cell, Field, Frame};
use crate::time::TimestampUs;

/// What one cell holds from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Change {
    /// The frame is never guilty.
    FilterAdded(Frame),
    /// The frame may be guilty again.
    FilterRemoved(Frame),
    /// The guilty has this comment; an empty text is none.
    CommentSet(Frame, String),
    /// Nobody wants to see the guilty.
    Hidden(Frame),
    /// The guilty is seen again.
    Unhidden(Frame),
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// All of these at once.
    Changes(Vec<Change>),
    /// Takes the entry of this number back.
    Undo(u64),
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, counted from 1 without gaps.
    pub sequence: u64,
    /// When it was made.
    pub time: TimestampUs,
    /// Who made it, where that is known.
    pub who: Option<String>,
    /// Drawn at random: tells two entries apart that were made for one number at the same time.
    pub nonce: u64,
    /// What it does.
    pub what: What,
}

/// A line that is no entry: made by a newer program, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("not an entry that this program knows: {0}")]
pub struct UnreadableEntry(#[from] serde_json::Error);

/// A change as JSON: flat, so that people read it easily.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    change: Kind,
    function: String,
    module: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    FilterAdded,
    FilterRemoved,
    CommentSet,
    Hidden,
    Unhidden,
}

/// An entry as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sequence: u64,
    time_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    nonce: String,
    what: What,
}

impl Change {
    /// The change that lets the cell hold `value`.
    #[must_use]
    pub fn of(cell: Cell, value: Option<&str>) -> Self {
        let Cell { field, frame } = cell;
        match (field, value) {
            (Field::Comment, value) => Self::CommentSet(frame, value.unwrap_or_default().to_owned()),
            (Field::Filter, Some(_)) => Self::FilterAdded(frame),
            (Field::Filter, None) => Self::FilterRemoved(frame),
            (Field::Hidden, Some(_)) => Self::Hidden(frame),
            (Field::Hidden, None) => Self::Unhidden(frame),
        }
    }

    /// The same change with the name of the function as it is shown.
    #[must_use]
    pub fn as_shown(self) -> Self {
        let (Cell { field, frame }, value) = (self.cell(), self.value().map(str::to_owned));
        Self::of(Cell { field, frame: frame.as_shown() }, value.as_deref())
    }

    /// The cell that it is about.
    #[must_use]
    pub fn cell(&self) -> Cell {
        let field = match self {
            Self::CommentSet(..) => Field::Comment,
            Self::FilterAdded(_) | Self::FilterRemoved(_) => Field::Filter,
            Self::Hidden(_) | Self::Unhidden(_) => Field::Hidden,
        };
        Cell { field, frame: self.frame().clone() }
    }

    /// What the cell holds after it.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::CommentSet(_, text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            Self::FilterAdded(_) | Self::Hidden(_) => Some(""),
            Self::FilterRemoved(_) | Self::Unhidden(_) => None,
        }
    }

    /// The frame that it is about.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        match self {
            Self::FilterAdded(frame)
            | Self::FilterRemoved(frame)
            | Self::CommentSet(frame, _)
            | Self::Hidden(frame)
            | Self::Unhidden(frame) => frame,
        }
    }
}

impl What {
    /// As JSON.
    ///
    /// # Errors
    /// None in practice: all of it has a form.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Reads what [`What::json`] wrote.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_json(text: &str) -> Result<Self, UnreadableEntry> {
        Ok(serde_json::from_str(text)?)
    }
}

impl Entry {
    /// As one line of JSON, without its end.
    ///
    /// # Errors
    /// None in practice: all of it has a form.
    pub fn line(&self) -> serde_json::Result<String> {
        let Self { sequence, time, who, what, .. } = self.clone();
        serde_json::to_string(&Line { sequence, time_us: time.0, who, nonce: self.nonce_text(), what })
    }

    /// Reads what [`Entry::line`] wrote.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_line(line: &str) -> Result<Self, UnreadableEntry> {
        let Line { sequence, time_us, who, nonce, what } = serde_json::from_str(line)?;
        Ok(Self { sequence, time: TimestampUs(time_us), who, nonce: read_nonce(&nonce)?, what })
    }

    /// The entry of columns that hold what [`Entry::nonce_text`] and [`What::json`] wrote, and an empty text for nobody.
    ///
    /// # Errors
    /// When they hold anything else.
    pub fn from_columns(
        sequence: u64,
        time: TimestampUs,
        who: String,
        nonce: &str,
        what: &str,
    ) -> Result<Self, UnreadableEntry> {
        let who = Some(who).filter(|who| !who.is_empty());
        Ok(Self { sequence, time, who, nonce: read_nonce(nonce)?, what: What::from_json(what)? })
    }

    /// The nonce as it is written: 16 hexadecimal digits.
    #[must_use]
    pub fn nonce_text(&self) -> String {
        format!("{:016x}", self.nonce)
    }
}

/// Reads a nonce as it is written.
fn read_nonce(text: &str) -> Result<u64, serde_json::Error> {
    let nonce = u64::from_str_radix(text, 16).ok().filter(|nonce| format!("{nonce:016x}") == text);
    nonce.ok_or_else(|| serde::de::Error::custom("the nonce is not as it is written"))
}

impl From<Change> for Written {
    fn from(change: Change) -> Self {
        let (change, Frame { function, module }, text) = match change {
            Change::FilterAdded(frame) => (Kind::FilterAdded, frame, None),
            Change::FilterRemoved(frame) => (Kind::FilterRemoved, frame, None),
            Change::CommentSet(frame, text) => (Kind::CommentSet, frame, Some(text)),
            Change::Hidden(frame) => (Kind::Hidden, frame, None),
            Change::Unhidden(frame) => (Kind::Unhidden, frame, None),
        };
        Self { change, function, module, text }
    }
}

impl TryFrom<Written> for Change {
    type Error = &'static str;

    fn try_from(Written { change, function, module, text }: Written) -> Result<Self, Self::Error> {
        let frame = Frame { function, module };
        match (change, text) {
            (Kind::CommentSet, Some(text)) => Ok(Self::CommentSet(frame, text)),
            (Kind::CommentSet, None) => Err("a comment has a `text`"),
            (_, Some(_)) => Err("only a comment has a `text`"),
            (Kind::FilterAdded, None) => Ok(Self::FilterAdded(frame)),
            (Kind::FilterRemoved, None) => Ok(Self::FilterRemoved(frame)),
            (Kind::Hidden, None) => Ok(Self::Hidden(frame)),
            (Kind::Unhidden, None) => Ok(Self::Unhidden(frame)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_line_that_people_can_read() {
        let frame = Frame::new("raise()", "libc.so.6");
        let entry = Entry {
            sequence: 7,
            time: TimestampUs(1_795_391_700_123_456),
            who: Some("ann".to_owned()),
            nonce: 0xab,
            what: What::Changes(vec![
                Change::FilterAdded(frame.clone()),
                Change::CommentSet(frame, "a \"text\"\n".to_owned()),
            ]),
        };
        let line = entry.line().expect("a line");
        assert_eq!(
            line,
            r#"{"sequence":7,"time_us":1795391700123456,"who":"ann","nonce":"00000000000000ab","what":{"changes":[{"change":"filter_added","function":"raise()","module":"libc.so.6"},{"change":"comment_set","function":"raise()","module":"libc.so.6","text":"a \"text\"\n"}]}}"#
        );
        assert_eq!(Entry::from_line(&line).expect("an entry"), entry);
        let undo = Entry { who: None, what: What::Undo(3), ..entry };
        let line = undo.line().expect("a line");
        assert!(line.ends_with(r#""nonce":"00000000000000ab","what":{"undo":3}}"#), "{line}");
        assert_eq!(Entry::from_line(&line).expect("an entry"), undo);
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let line = |what: &str| format!(r#"{{"sequence":1,"time_us":0,"nonce":"0000000000000001","what":{what}}}"#);
        assert!(Entry::from_line(&line(r#"{"undo":1}"#)).is_ok());
        for what in [
            "{}",
            r#"{"undo":-1}"#,
            r#"{"redo":1}"#,
            r#"{"undo":1,"changes":[]}"#,
            r#"{"changes":[{"change":"filter_added","function":"f"}]}"#,
            r#"{"changes":[{"change":"filter_added","function":"f","module":"m","text":""}]}"#,
            r#"{"changes":[{"change":"filter_added","function":"f","module":"m","more":1}]}"#,
            r#"{"changes":[{"change":"comment_set","function":"f","module":"m"}]}"#,
            r#"{"changes":[{"change":"renamed","function":"f","module":"m"}]}"#,
        ] {
            assert!(Entry::from_line(&line(what)).is_err(), "{what}");
        }
        let whole = line(r#"{"undo":1}"#);
        assert!((0..whole.len()).all(|end| Entry::from_line(&whole[..end]).is_err()));
        assert!(Entry::from_line(&whole.replace("0000000000000001", "1")).is_err());
    }
}
