//! What forms ask to change: read, shown as a preview where it changes the groups of crashes, and saved when that is
//! asked for.
//!
//! `add`, `remove` and `undo` answer with a preview until they are sent with `save`, by POST. A comment and a hidden guilty
//! change no group and are saved at once. `reset` is a bookmark of the original service.

use axum::extract::{Path, RawForm, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use telemetrics_schema::curation::{Change, Frame, What};
use telemetrics_schema::payload::guilty_id;

use super::asked::DAYS;
use super::{EDIT, HISTORY, guilty_path, preview};
use crate::access::guard::SignedIn;
use crate::api::params::{Pairs, whole_number};
use crate::api::updates::days;
use crate::error::{InvalidParameter, WebError};
use crate::pages::message::{self, MessagePage};
use crate::pages::render;
use crate::state::AppState;

/// Largest form, in bytes.
const FORM_BYTES_MAX: usize = 256 << 10;
/// Most frames that are changed at once.
pub(super) const FRAMES_MAX: usize = 100;
/// How far a preview looks back when nobody says it: as far as the usual retention, in days.
const PREVIEW_DAYS: i64 = 35;
/// Numbers of entries are exact up to here in every reader of JSON.
const ENTRY_MAX: i64 = (1 << 53) - 1;

/// What is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pages) enum Action {
    /// Filters are added.
    Add,
    /// Filters are removed.
    Remove,
    /// A guilty is hidden, or shown again.
    Hidden,
    /// A guilty gets a comment.
    Comment,
    /// An entry of the history is taken back.
    Undo,
}

/// An edit that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pages) struct Wish {
    pub(in crate::pages) action: Action,
    pub(in crate::pages) what: What,
    /// The entry that it was made from; a preview takes the last one when nobody says it.
    pub(in crate::pages) based_on: Option<u64>,
    pub(in crate::pages) who: Option<String>,
    /// Whether that is who signed in, and not only a name that somebody says.
    pub(in crate::pages) is_signed_in: bool,
    /// How far a preview looks back.
    pub(in crate::pages) days: i64,
    /// Whether a preview was seen.
    pub(in crate::pages) is_decided: bool,
}

impl Action {
    const ALL: [Self; 5] = [Self::Add, Self::Remove, Self::Hidden, Self::Comment, Self::Undo];

    /// Its word in addresses.
    pub(in crate::pages) fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Hidden => "hidden",
            Self::Comment => "comment",
            Self::Undo => "undo",
        }
    }

    fn has_preview(self) -> bool {
        matches!(self, Self::Add | Self::Remove | Self::Undo)
    }
}

/// The parameters of a form before it is known what they make.
#[derive(Default)]
struct Fields<'a> {
    frames: Vec<Frame>,
    function: Option<&'a str>,
    module: &'a str,
    text: &'a str,
    hidden: Option<bool>,
    entry: Option<u64>,
    based_on: Option<u64>,
    who: Option<String>,
    days: Option<i64>,
    is_decided: bool,
}

impl Wish {
    /// What a form says.
    pub(in crate::pages) fn read(action: Action, pairs: &Pairs) -> Result<Self, InvalidParameter> {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.take(name, value)?;
        }
        Ok(Self {
            action,
            based_on: fields.based_on,
            who: fields.who.take(),
            is_signed_in: false,
            days: fields.days.unwrap_or(PREVIEW_DAYS),
            is_decided: fields.is_decided,
            what: fields.what(action)?,
        })
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, name: &str, value: &'a str) -> Result<(), InvalidParameter> {
        match name {
            "frame" => {
                let reason = |error: serde_json::Error| InvalidParameter::new(name, format!("is not one: {error}"));
                self.frames.push(serde_json::from_str(value).map_err(reason)?);
            }
            "function" => self.function = Some(value),
            "module" => self.module = value,
            "text" => self.text = value.trim(),
            "hidden" => self.hidden = Some(yes_or_no(name, value)?),
            "entry" => self.entry = Some(entry(name, value)?),
            "based_on" => self.based_on = Some(entry(name, value)?),
            "who" => self.who = Some(value.trim().to_owned()).filter(|who| !who.is_empty()),
            DAYS => self.days = Some(days(name, value)?),
            "save" => self.is_decided = yes_or_no(name, value)?,
            _ => return Err(InvalidParameter::new(name, "is not a parameter here")),
        }
        Ok(())
    }

    fn what(self, action: Action) -> Result<What, InvalidParameter> {
        let missing = |name| InvalidParameter::new(name, "is missing");
        if action == Action::Undo {
            return Ok(What::Undo(self.entry.ok_or_else(|| missing("entry"))?));
        }
        let mut frames = self.frames;
        frames.extend(self.function.filter(|function| !function.is_empty()).map(|f| Frame::new(f, self.module)));
        if frames.is_empty() {
            return Err(missing("frame"));
        }
        if frames.len() > FRAMES_MAX {
            return Err(InvalidParameter::new("frame", format!("is given more than {FRAMES_MAX} times")));
        }
        let hides = self.hidden.unwrap_or(true);
        let change = |frame: Frame| match action {
            Action::Add | Action::Undo => Change::FilterAdded(frame),
            Action::Remove => Change::FilterRemoved(frame),
            Action::Hidden if hides => Change::Hidden(frame),
            Action::Hidden => Change::Unhidden(frame),
            Action::Comment => Change::CommentSet(frame, self.text.to_owned()),
        };
        Ok(What::Changes(frames.into_iter().map(change).collect()))
    }
}

fn yes_or_no(name: &str, value: &str) -> Result<bool, InvalidParameter> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(InvalidParameter::new(name, "must be yes or no")),
    }
}

/// Reads the number of an entry, or 0.
pub(super) fn entry(name: &str, value: &str) -> Result<u64, InvalidParameter> {
    Ok(whole_number(name, value, 0, ENTRY_MAX)?.unsigned_abs())
}

/// Answers a form: with a preview, or by saving what it asks for and leading to where it is seen.
pub async fn act(
    State(state): State<AppState>,
    Path(action): Path<String>,
    signed_in: SignedIn,
    method: Method,
    RawForm(form): RawForm,
) -> Response {
    if action == "reset" {
        return render(StatusCode::OK, &reset());
    }
    let Some(action) = Action::ALL.into_iter().find(|known| known.name() == action) else {
        return message::failed(&WebError::NotFound("There is nothing at this address.".to_owned()));
    };
    match answer(&state, action, signed_in, &method, &form).await {
        Ok(answer) => answer,
        Err(error) => message::failed_with(&error, |page| page.leading_to(EDIT, "Load the filters again")),
    }
}

async fn answer(
    state: &AppState,
    action: Action,
    signed_in: SignedIn,
    method: &Method,
    form: &[u8],
) -> Result<Response, WebError> {
    if form.len() > FORM_BYTES_MAX {
        return Err(WebError::Impossible(format!("The form has more than {FORM_BYTES_MAX} bytes")));
    }
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(form).into_owned().collect();
    let mut wish = Wish::read(action, &pairs)?;
    wish.is_signed_in = signed_in.0.is_some();
    wish.who = signed_in.or_said(wish.who);
    let is_post = *method == Method::POST;
    if is_post && (wish.is_decided || !action.has_preview()) {
        return save(state, wish).await;
    }
    if !action.has_preview() {
        return Err(WebError::Impossible("This changes something and has to be posted".to_owned()));
    }
    preview::show(state, wish).await
}

async fn save(state: &AppState, wish: Wish) -> Result<Response, WebError> {
    let based_on = wish.based_on.ok_or_else(|| InvalidParameter::new("based_on", "is missing"))?;
    let next = next(&wish);
    state.curation.edit(based_on, wish.what, wish.who).await?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, next)]).into_response())
}

/// Where what was saved is seen.
fn next(wish: &Wish) -> String {
    match (&wish.action, &wish.what) {
        (Action::Hidden | Action::Comment, What::Changes(changes)) => {
            let frame = changes.first().map(Change::frame);
            frame.map_or_else(|| EDIT.to_owned(), |frame| guilty_path(guilty_id(&frame.function, &frame.module)))
        }
        (Action::Undo, _) => HISTORY.to_owned(),
        _ => EDIT.to_owned(),
    }
}

/// What the original service needed after an edit.
pub(in crate::pages) fn reset() -> MessagePage {
    let why =
        "There is nothing left to recalculate: filters hold for all crashes at once, from the moment they are saved.";
    MessagePage::new("Nothing to recalculate", why).leading_to(EDIT, "Go to the filters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(action: Action, form: &str) -> Result<Wish, String> {
        let pairs: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        Wish::read(action, &pairs).map_err(|error| error.to_string())
    }

    fn frame() -> Frame {
        Frame::new("f()", "a m")
    }

    #[test]
    fn forms_say_what_is_changed() {
        let json = "frame=%7B%22function%22:%22f()%22,%22module%22:%22a+m%22%7D";
        let changes = |changes| What::Changes(changes);
        for (action, form, what) in [
            (Action::Add, json, changes(vec![Change::FilterAdded(frame())])),
            (Action::Remove, "function=f()&module=a+m&text=&who=", changes(vec![Change::FilterRemoved(frame())])),
            (Action::Hidden, "function=f()&module=a+m", changes(vec![Change::Hidden(frame())])),
            (Action::Hidden, "function=f()&module=a+m&hidden=no", changes(vec![Change::Unhidden(frame())])),
            (
                Action::Comment,
                "function=f()&module=a+m&text=+x+",
                changes(vec![Change::CommentSet(frame(), "x".into())]),
            ),
            (Action::Undo, "entry=7", What::Undo(7)),
        ] {
            let wish = read(action, form).expect(form);
            assert_eq!((wish.what, wish.based_on, wish.who, wish.is_decided), (what, None, None, false), "{form}");
        }
        let decided = read(Action::Undo, "entry=7&based_on=9&who=+ann&save=yes&days=3").expect("valid");
        assert_eq!((decided.based_on, decided.who.as_deref(), decided.is_decided), (Some(9), Some("ann"), true));
        assert_eq!((decided.days, read(Action::Undo, "entry=7").expect("valid").days), (3, PREVIEW_DAYS));
    }

    #[test]
    fn what_is_wrong_with_a_form_is_named() {
        for (action, form, part) in [
            (Action::Add, "", "frame is missing"),
            (Action::Add, "function=", "frame is missing"),
            (Action::Add, "frame=x", "frame is not one"),
            (Action::Undo, "", "entry is missing"),
            (Action::Undo, "entry=-1", "entry must be"),
            (Action::Hidden, "function=f&hidden=maybe", "hidden must be yes or no"),
            (Action::Add, "function=f&x=1", "x is not a parameter"),
            (Action::Add, "function=f&days=0", "days must be"),
        ] {
            let reason = read(action, form).expect_err(form);
            assert!(reason.contains(part), "{form}: {reason}");
        }
        let many = |frames: usize| vec!["frame={\"function\":\"f\",\"module\":\"\"}"; frames].join("&");
        assert!(read(Action::Add, &many(FRAMES_MAX)).is_ok());
        assert!(read(Action::Add, &many(FRAMES_MAX + 1)).is_err());
    }

    #[test]
    fn a_saved_edit_leads_to_where_it_is_seen() {
        let to = |action, form: &str| next(&read(action, form).expect("valid"));
        let of_guilty = guilty_path(guilty_id("f()", "m"));
        assert_eq!(to(Action::Comment, "function=f()&module=m&text=x"), of_guilty);
        assert_eq!(to(Action::Hidden, "function=f()&module=m"), of_guilty);
        assert_eq!((to(Action::Add, "function=f()"), to(Action::Undo, "entry=1")), (EDIT.into(), HISTORY.into()));
    }
}
