//! A state as a file that people review: one line of JSON for each thing that is said, sorted.
//!
//! A difference of two such files shows exactly what changed, and a line can be moved from one to the other. Empty lines
//! and lines that begin with `#` are for people; an export has none.

use serde::{Deserialize, Serialize};

use super::check::check_change;
use super::{Cell, Change, Curated, Field, Frame, Refusal};

/// Version of the file's form.
const VERSION: u32 = 1;
const WHAT: &str = "curation";

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    telemetrics: String,
    version: u32,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    is: Is,
    function: String,
    module: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Is {
    Commented,
    Filter,
    Hidden,
}

/// The file of a state; equal states have equal files.
///
/// # Errors
/// None in practice: all of it has a form.
pub fn export(curated: &Curated) -> serde_json::Result<String> {
    let mut text = serde_json::to_string(&Head { telemetrics: WHAT.to_owned(), version: VERSION })?;
    text.push('\n');
    for (Cell { field, frame: Frame { function, module } }, value) in curated.cells() {
        let (is, value) = match field {
            Field::Comment => (Is::Commented, Some(value.to_owned())),
            Field::Filter => (Is::Filter, None),
            Field::Hidden => (Is::Hidden, None),
        };
        text.push_str(&serde_json::to_string(&Said { is, function, module, text: value })?);
        text.push('\n');
    }
    Ok(text)
}

/// Reads the file of a state.
///
/// # Errors
/// [`Refusal::Invalid`] names the first line that cannot be used.
pub fn import(text: &str) -> Result<Curated, Refusal> {
    let numbered = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    let mut lines = numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let head = lines.next().and_then(|(_, line)| serde_json::from_str::<Head>(line).ok());
    match head {
        Some(Head { telemetrics, version: VERSION }) if telemetrics == WHAT => {}
        Some(Head { version, .. }) if version > VERSION => {
            return Err(Refusal::Invalid(format!("the file has version {version}, of a newer program")));
        }
        _ => return Err(Refusal::Invalid(format!("the file does not begin as an export does: {}", first_line()))),
    }
    let mut curated = Curated::default();
    for (number, line) in lines {
        take(&mut curated, line).map_err(|reason| Refusal::Invalid(format!("line {number}: {reason}")))?;
    }
    Ok(curated)
}

fn first_line() -> String {
    format!(r#"{{"telemetrics":"{WHAT}","version":{VERSION}}}"#)
}

fn take(curated: &mut Curated, line: &str) -> Result<(), String> {
    let Said { is, function, module, text } = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let frame = Frame { function, module };
    let change = match (is, text) {
        (Is::Commented, Some(text)) if !text.is_empty() => Change::CommentSet(frame, text),
        (Is::Commented, _) => return Err("a comment has a `text`".to_owned()),
        (_, Some(_)) => return Err("only a comment has a `text`".to_owned()),
        (Is::Filter, None) => Change::FilterAdded(frame),
        (Is::Hidden, None) => Change::Hidden(frame),
    };
    check_change(&change).map_err(|refusal| refusal.to_string())?;
    let cell = change.cell();
    if curated.get(&cell).is_some() {
        return Err(format!("an earlier line says the same about {}", change.frame()));
    }
    curated.set(cell, change.value());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn a_file_is_sorted_and_has_a_line_for_each_thing() {
        let (raise, deref) = (Frame::new("raise()", "libc.so.6"), Frame::new("deref()", "a \"b\""));
        let curated = Curated {
            filters: BTreeSet::from([raise.clone(), Frame::new("abort()", "libc.so.6")]),
            comments: BTreeMap::from([(deref.clone(), "fixed in 30".to_owned())]),
            hidden: BTreeSet::from([deref]),
        };
        let text = export(&curated).expect("a file");
        assert_eq!(
            text,
            r#"{"telemetrics":"curation","version":1}
{"is":"commented","function":"deref()","module":"a \"b\"","text":"fixed in 30"}
{"is":"filter","function":"abort()","module":"libc.so.6"}
{"is":"filter","function":"raise()","module":"libc.so.6"}
{"is":"hidden","function":"deref()","module":"a \"b\""}
"#
        );
        let reviewed = format!("# from ann\n\n{}", text.replace('\n', "\r\n# why\r\n"));
        assert_eq!(import(&reviewed), Ok(curated));
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_line() {
        let head = first_line();
        let refused = |text: &str| import(text).expect_err(text).to_string();
        assert!(refused("").contains(&head) && refused("{}").contains(&head));
        assert!(refused(&head.replace(":1", ":2")).contains("newer program"));
        for (line, reason) in [
            ("x", "expected value"),
            (r#"{"is":"filter","function":"f()"}"#, "module"),
            (r#"{"is":"filter","function":"","module":"m"}"#, "a frame has a function"),
            (r#"{"is":"filter","function":"_start()","module":"libc.so.6"}"#, "always a filter"),
            (r#"{"is":"hidden","function":"f()","module":"m","text":"t"}"#, "only a comment"),
            (r#"{"is":"commented","function":"f()","module":"m","text":""}"#, "a comment has"),
            (r#"{"is":"commented","function":"f()","module":"m","text":"a\nb"}"#, "one line"),
            (r#"{"is":"hidden","function":"g()","module":"m"}"#, "an earlier line"),
        ] {
            let said =
                refused(&format!("{head}\n{{\"is\":\"hidden\",\"function\":\"g()\",\"module\":\"m\"}}\n\n{line}"));
            assert!(said.starts_with("line 4: ") && said.contains(reason), "{line}: {said}");
        }
    }
}
