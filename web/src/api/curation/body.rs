//! The bodies of edits: JSON from scripts, forms from pages.
//!
//! In a form each `change` begins a change, and the `function`, `module` and `text` behind it belong to it. A `change`
//! may also be a whole one as JSON: then one checkbox is one change.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use telemetrics_schema::curation::{Change, Curated, IMPORT_BYTES_MAX, What, import as imported};

use crate::api::params::{Pairs, no_duplicates, whole_number};
use crate::curation::{CurationError, Import};
use crate::error::{InvalidParameter, WebError};

/// Largest body of an edit.
pub(super) const BODY_BYTES_MAX: usize = IMPORT_BYTES_MAX;
/// Identifiers and numbers stay below 2^53, so that every JSON reader holds them exactly.
const SEQUENCE_MAX: i64 = (1 << 53) - 1;
const FORM: &str = "application/x-www-form-urlencoded";

/// An edit that somebody asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) based_on: u64,
    pub(super) who: Option<String>,
    pub(super) what: What,
}

/// An import that somebody asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileImport {
    pub(super) based_on: u64,
    pub(super) who: Option<String>,
    pub(super) mode: Import,
    pub(super) file: Curated,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangesBody {
    based_on: u64,
    who: Option<String>,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UndoBody {
    based_on: u64,
    who: Option<String>,
    entry: u64,
}

/// Reads the body of an edit.
pub(super) async fn edit(headers: &HeaderMap, body: Body) -> Result<Edit, WebError> {
    let bytes = read(body).await?;
    if is_form(headers) {
        return Ok(edit_of_form(&pairs(&bytes))?);
    }
    let ChangesBody { based_on, who, changes } = json(&bytes)?;
    Ok(Edit { based_on, who: named(who), what: shown(changes) })
}

/// Reads the body of an undo.
pub(super) async fn undo(headers: &HeaderMap, body: Body) -> Result<Edit, WebError> {
    let bytes = read(body).await?;
    if is_form(headers) {
        return Ok(undo_of_form(&pairs(&bytes))?);
    }
    let UndoBody { based_on, who, entry } = json(&bytes)?;
    Ok(Edit { based_on, who: named(who), what: What::Undo(entry) })
}

/// Reads an import: the file is the body, and the rest stands in the address; or all of it is in a form, the file as
/// `file`.
pub(super) async fn import(
    parameters: Vec<(String, String)>,
    headers: &HeaderMap,
    body: Body,
) -> Result<FileImport, WebError> {
    let bytes = read(body).await?;
    let mut parameters = parameters;
    if is_form(headers) {
        parameters.extend(pairs(&bytes));
    } else {
        let text = String::from_utf8(bytes).map_err(|_| WebError::Impossible("The file is not UTF-8".to_owned()))?;
        parameters.push(("file".to_owned(), text));
    }
    import_of(&parameters)
}

/// Reads the number of an entry, or 0.
pub(super) fn sequence(name: &str, value: &str) -> Result<u64, InvalidParameter> {
    Ok(whole_number(name, value, 0, SEQUENCE_MAX)?.unsigned_abs())
}

async fn read(body: Body) -> Result<Vec<u8>, WebError> {
    let bytes = to_bytes(body, BODY_BYTES_MAX).await;
    let reason = |_| WebError::Impossible(format!("The body has more than {BODY_BYTES_MAX} bytes, or it broke off"));
    Ok(bytes.map_err(reason)?.into())
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM))
}

fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(bytes).into_owned().collect()
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WebError> {
    serde_json::from_slice(bytes).map_err(|error| WebError::Impossible(format!("The body cannot be read: {error}")))
}

/// Filters are compared with names as they are shown; scripts know the mangled ones of payloads.
fn shown(changes: Vec<Change>) -> What {
    What::Changes(changes.into_iter().map(Change::as_shown).collect())
}

/// An empty name is none: forms send one.
fn named(who: Option<String>) -> Option<String> {
    who.map(|who| who.trim().to_owned()).filter(|who| !who.is_empty())
}

/// A change whose parts come one after the other.
#[derive(Default)]
struct Begun<'a> {
    change: Option<&'a str>,
    parts: serde_json::Map<String, serde_json::Value>,
}

impl Begun<'_> {
    fn finish(self, changes: &mut Vec<Change>) -> Result<(), InvalidParameter> {
        let Some(change) = self.change else { return Ok(()) };
        let reason = |error: serde_json::Error| InvalidParameter::new("change", format!("is not one: {error}"));
        let read = if change.starts_with('{') {
            serde_json::from_str(change)
        } else {
            let mut parts = self.parts;
            parts.insert("change".to_owned(), change.into());
            serde_json::from_value(parts.into())
        };
        changes.push(read.map_err(reason)?);
        Ok(())
    }
}

fn edit_of_form(pairs: &Pairs) -> Result<Edit, InvalidParameter> {
    let (of_changes, others): (Vec<_>, Vec<_>) =
        pairs.iter().cloned().partition(|(name, _)| ["change", "function", "module", "text"].contains(&name.as_str()));
    let mut changes = Vec::new();
    let mut begun = Begun::default();
    for (name, value) in &of_changes {
        if name == "change" {
            begun.finish(&mut changes)?;
            begun = Begun { change: Some(value), ..Begun::default() };
        } else if begun.change.is_none() || begun.parts.insert(name.clone(), value.trim().into()).is_some() {
            return Err(InvalidParameter::new(name, "does not belong to a change"));
        }
    }
    begun.finish(&mut changes)?;
    let mut common = Common::default();
    common.take_all(&others, |_, _| Ok(false))?;
    Ok(Edit { based_on: common.based_on()?, who: common.who, what: shown(changes) })
}

fn undo_of_form(pairs: &Pairs) -> Result<Edit, InvalidParameter> {
    let (mut common, mut entry) = (Common::default(), None);
    common.take_all(pairs, |name, value| {
        if name == "entry" {
            entry = Some(sequence(name, value)?);
        }
        Ok(name == "entry")
    })?;
    let what = What::Undo(entry.ok_or_else(|| missing("entry"))?);
    Ok(Edit { based_on: common.based_on()?, who: common.who, what })
}

fn import_of(pairs: &Pairs) -> Result<FileImport, WebError> {
    let (mut common, mut mode, mut file) = (Common::default(), Import::Replace, None);
    common.take_all(pairs, |name, value| {
        match name {
            "mode" => mode = read_mode(name, value)?,
            "file" => file = Some(value.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let file = imported(&file.ok_or_else(|| missing("file"))?).map_err(CurationError::from)?;
    Ok(FileImport { based_on: common.based_on()?, who: common.who, mode, file })
}

fn read_mode(name: &str, value: &str) -> Result<Import, InvalidParameter> {
    match value {
        "replace" => Ok(Import::Replace),
        "add" => Ok(Import::Add),
        _ => Err(InvalidParameter::new(name, "must be replace or add")),
    }
}

/// What every edit says.
#[derive(Default)]
struct Common {
    based_on: Option<u64>,
    who: Option<String>,
}

impl Common {
    /// Takes what is common, and gives the rest to `own`, which says whether it knows it.
    fn take_all(
        &mut self,
        pairs: &Pairs,
        mut own: impl FnMut(&str, &str) -> Result<bool, InvalidParameter>,
    ) -> Result<(), InvalidParameter> {
        no_duplicates(pairs)?;
        for (name, value) in pairs {
            match name.as_str() {
                "based_on" => self.based_on = Some(sequence(name, value)?),
                "who" => self.who = named(Some(value.clone())),
                _ if own(name, value)? => {}
                _ => return Err(InvalidParameter::new(name, "is not a parameter here")),
            }
        }
        Ok(())
    }

    fn based_on(&self) -> Result<u64, InvalidParameter> {
        self.based_on.ok_or_else(|| missing("based_on"))
    }
}

fn missing(name: &str) -> InvalidParameter {
    InvalidParameter::new(name, "is missing")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use telemetrics_schema::curation::Frame;

    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
    }

    async fn read_edit(kind: &'static str, body: &str) -> Result<Edit, String> {
        edit(&headers(kind), Body::from(body.to_owned())).await.map_err(|error| error.to_string())
    }

    fn frame() -> Frame {
        Frame::new("f()", "a m")
    }

    #[tokio::test]
    async fn an_edit_is_equal_as_json_and_as_a_form() {
        let expected = Edit {
            based_on: 7,
            who: Some("ann".to_owned()),
            what: What::Changes(vec![
                Change::FilterAdded(frame()),
                Change::CommentSet(frame(), "a text".to_owned()),
                Change::Hidden(frame()),
            ]),
        };
        let hidden = r#"{"change":"hidden","function":"f()","module":"a m"}"#;
        let body = format!(
            r#"{{"based_on":7,"who":"ann","changes":[{{"change":"filter_added","function":"f()","module":"a m"}},
               {{"change":"comment_set","function":"f()","module":"a m","text":"a text"}},{hidden}]}}"#
        );
        assert_eq!(read_edit("application/json", &body).await.as_ref(), Ok(&expected));
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("change", "filter_added")
            .append_pair("function", "f()")
            .append_pair("module", "a m")
            .append_pair("who", " ann ")
            .append_pair("change", "comment_set")
            .append_pair("text", " a text ")
            .append_pair("module", "a m")
            .append_pair("function", "f()")
            .append_pair("based_on", "7")
            .append_pair("change", hidden)
            .finish();
        assert_eq!(read_edit("application/x-www-form-urlencoded; charset=utf-8", &form).await, Ok(expected));
    }

    #[tokio::test]
    async fn what_is_wrong_is_named() {
        for (body, part) in [
            ("", "cannot be read"),
            (r#"{"changes":[]}"#, "based_on"),
            (r#"{"based_on":1,"changes":[],"more":1}"#, "more"),
            (r#"{"based_on":-1,"changes":[]}"#, "cannot be read"),
        ] {
            let reason = read_edit("application/json", body).await.expect_err(body);
            assert!(reason.contains(part), "{body}: {reason}");
        }
        for (body, part) in [
            ("", "based_on is missing"),
            ("based_on=x", "based_on must be"),
            ("based_on=1&function=f", "function does not belong"),
            ("based_on=1&change=hidden&function=f&function=g&module=m", "function does not belong"),
            ("based_on=1&change=hidden&function=f", "change is not one"),
            ("based_on=1&change=%7B&function=f", "change is not one"),
            ("based_on=1&based_on=1", "given more than once"),
            ("based_on=1&other=1", "other is not"),
        ] {
            let reason = read_edit(FORM, body).await.expect_err(body);
            assert!(reason.contains(part), "{body}: {reason}");
        }
        let large = "x".repeat(BODY_BYTES_MAX + 1);
        assert!(read_edit("text/plain", &large).await.expect_err("large").contains("more than"));
        assert!(read_edit("text/plain", &large[1..]).await.expect_err("no JSON").contains("cannot be read"));
    }

    #[tokio::test]
    async fn an_undo_names_its_entry() {
        let expected = Edit { based_on: 3, who: None, what: What::Undo(2) };
        let undo = async |kind, body: &'static str| {
            undo(&headers(kind), Body::from(body)).await.map_err(|error| error.to_string())
        };
        assert_eq!(undo("application/json", r#"{"based_on":3,"entry":2}"#).await.as_ref(), Ok(&expected));
        assert_eq!(undo(FORM, "based_on=3&entry=2&who=").await, Ok(expected));
        assert_eq!(undo(FORM, "based_on=3").await, Err("entry is missing.".to_owned()));
    }

    #[tokio::test]
    async fn a_file_comes_as_body_or_in_a_form() {
        let file =
            "{\"telemetrics\":\"curation\",\"version\":1}\n{\"is\":\"hidden\",\"function\":\"f()\",\"module\":\"a m\"}";
        let import = async |address: &str, kind, body: String| {
            let read = import(pairs(address.as_bytes()), &headers(kind), Body::from(body)).await;
            read.map_err(|error| error.to_string())
        };
        let expected = FileImport {
            based_on: 4,
            who: None,
            mode: Import::Add,
            file: Curated { hidden: [frame()].into(), ..Curated::default() },
        };
        let address = "based_on=4&mode=add";
        assert_eq!(import(address, "application/x-ndjson", file.to_owned()).await.as_ref(), Ok(&expected));
        let form = url::form_urlencoded::Serializer::new(address.to_owned()).append_pair("file", file).finish();
        assert_eq!(import("", FORM, form).await, Ok(expected));
        for (address, body, part) in [
            ("mode=add", file, "based_on is missing"),
            ("based_on=1&mode=x", file, "mode must be"),
            ("based_on=1&file=x", file, "more than once"),
            ("based_on=1", "x", "does not begin"),
        ] {
            let reason = import(address, "text/plain", body.to_owned()).await.expect_err(address);
            assert!(reason.contains(part), "{address}: {reason}");
        }
    }
}
