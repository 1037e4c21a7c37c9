//! What users curate as the document describes it: bodies of edits, parameters and answers.
#![allow(dead_code, clippy::struct_field_names, reason = "only described, with the names that bodies have")]

use serde::Deserialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::answers::Problem;

/// Changes that are made together.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"based_on": 0, "changes": [
    {"change": "filter_added", "function": "raise()", "module": "libc.so.6"},
    {"change": "comment_set", "function": "deref()", "module": "/usr/bin/crasher", "text": "fixed in 43790"}]}))]
pub struct Edit {
    /// The `sequence` of the state that they were decided on.
    #[schema(minimum = 0)]
    based_on: u64,
    /// Who makes them.
    #[schema(required = false, max_length = 80)]
    who: Option<String>,
    /// Each has to change something.
    #[schema(min_items = 1)]
    changes: Vec<Change>,
}

/// One change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    change: ChangeKind,
    /// Function of the frame, as it is shown.
    #[schema(min_length = 1, max_length = 4096)]
    function: String,
    /// Its module.
    #[schema(max_length = 4096)]
    module: String,
    /// With `comment_set`: one line; empty for no comment.
    #[schema(required = false, max_length = 80)]
    text: String,
}

/// What a change does.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The frame is never guilty.
    FilterAdded,
    /// The frame may be guilty again.
    FilterRemoved,
    /// The guilty has this comment.
    CommentSet,
    /// Nobody wants to see the guilty.
    Hidden,
    /// The guilty is seen again.
    Unhidden,
}

/// An undo of one entry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"based_on": 2, "entry": 1}))]
pub struct Undo {
    /// The `sequence` of the state that it was decided on.
    #[schema(minimum = 0)]
    based_on: u64,
    /// Who makes it.
    #[schema(required = false, max_length = 80)]
    who: Option<String>,
    /// Number of the entry.
    #[schema(minimum = 0)]
    entry: u64,
}

/// What an edit led to.
#[derive(ToSchema)]
pub struct Saved {
    /// Number of the last entry.
    #[schema(minimum = 0)]
    sequence: u64,
    /// Equal for equal filters, for ever.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    rules_id: i64,
}

/// What holds.
#[derive(ToSchema)]
pub struct Curated {
    /// Number of the last entry: what an edit is based on.
    #[schema(minimum = 0)]
    sequence: u64,
    /// Equal for equal filters, for ever.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    rules_id: i64,
    /// Frames that are never guilty.
    filters: Vec<Frame>,
    /// Comments on guilties.
    comments: Vec<Comment>,
    /// Guilties that nobody wants to see.
    hidden: Vec<Guilty>,
}

/// A frame as it is shown.
#[derive(ToSchema)]
pub struct Frame {
    /// Its function.
    function: String,
    /// Its module.
    module: String,
}

/// A guilty.
#[derive(ToSchema)]
pub struct Guilty {
    /// Its number, the same everywhere and for ever.
    guilty_id: i64,
    /// Its function.
    function: String,
    /// Its module.
    module: String,
}

/// A comment.
#[derive(ToSchema)]
pub struct Comment {
    /// Number of the guilty that it is on, the same everywhere and for ever.
    guilty_id: i64,
    /// Its function.
    function: String,
    /// Its module.
    module: String,
    /// The comment.
    text: String,
}

/// A piece of the history.
#[derive(ToSchema)]
pub struct History {
    /// Number of the last entry of all.
    #[schema(minimum = 0)]
    sequence: u64,
    /// The newest first.
    entries: Vec<Entry>,
}

/// One entry: `changes`, or `undo`.
#[derive(ToSchema)]
pub struct Entry {
    /// Its number.
    #[schema(minimum = 1)]
    sequence: u64,
    /// When it was made, as `YYYY-MM-DD HH:MM:SS UTC`.
    time: String,
    /// Who made it.
    who: Option<String>,
    /// What it changed.
    #[schema(required = false)]
    changes: Vec<Change>,
    /// Number of the entry that it took back.
    #[schema(required = false, minimum = 0)]
    undo: u64,
    /// The undo that took it back.
    undone_by: Option<u64>,
}

/// Which entries of the history.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfHistory {
    /// At most so many.
    #[param(required = false, minimum = 1, maximum = 100, example = 10)]
    limit: u32,
    /// Only those below this number.
    #[param(required = false, minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 9_007_199_254_740_991_i64)]
    before: u64,
}

/// How a file is imported.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfImport {
    /// The `sequence` of the state that it was decided on; an export has it in `X-Telemetrics-Sequence`.
    #[param(required = true, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    based_on: u64,
    /// Whether what the file does not name goes (the default) or stays.
    #[param(required = false, inline)]
    mode: ImportMode,
    /// Who makes it.
    #[param(required = false, max_length = 80)]
    who: String,
}

/// What becomes of what a file does not name.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum ImportMode {
    /// It goes.
    Replace,
    /// It stays.
    Add,
}

/// What an edit may be answered instead.
#[derive(IntoResponses)]
pub enum NotSaved {
    /// It cannot be made; the sentence says why.
    #[response(status = 400)]
    Invalid(Problem),
    /// Nobody signed in, or with something that this server does not know. Where it asks nobody, it does not happen.
    #[response(status = 401)]
    Unidentified(Problem),
    /// A page of another site sent it, or who signed in does not have the scope that the body names.
    #[response(status = 403)]
    Denied(Problem),
    /// Somebody else made an edit meanwhile: load the state again and decide again.
    #[response(status = 409)]
    Conflict(Problem),
    /// There were too many wrong passwords or tokens: try again after `Retry-After` seconds.
    #[response(status = 429)]
    TooOften(Problem),
    /// It was not saved, or that is not clear: look at the history before trying again.
    #[response(status = 503)]
    Unavailable(Problem),
}
