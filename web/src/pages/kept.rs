//! What many look at, read once for everybody who looks within a while.

use std::sync::Arc;
use std::time::Duration;

use telemetrics_analytics::questions::offered::{Offered, offered};
use telemetrics_analytics::questions::systems;

use super::crashes::backtraces::Found as FoundBacktraces;
use super::crashes::guilty::Found as FoundGuilty;
use super::crashes::top::Found as FoundCrashes;
use super::judged::Judged;
use super::numbers::Numbers;
use super::query::Given;
use crate::error::WebError;
use crate::standing::Standing;
use crate::state::{AppState, Asked};

/// What is made faster than this is made for everybody.
const WORTH: Duration = Duration::from_millis(50);
/// What no edit of users changes.
pub(super) const NO_EDITS: u64 = 0;

/// See the module.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What became worse in a system.
    pub(super) judged: Standing<Option<String>, Judged>,
    /// What pages of numbers show, by the address of the page and its parameters.
    pub(super) numbers: Standing<(&'static str, Given), Numbers>,
    /// The causes of crashes, by the parameters of the page.
    pub(super) crashes: Standing<Given, FoundCrashes>,
    /// A cause, by its number and the parameters of the page.
    pub(super) guilty: Standing<(i64, Given), Option<FoundGuilty>>,
    /// The stacks of a cause.
    pub(super) backtraces: Standing<(i64, Given), Option<FoundBacktraces>>,
    /// What forms offer, with the builds of a system.
    offers: Standing<Option<String>, Offered>,
    /// The system that is meant where nobody names one.
    usual_system: Standing<(), Option<String>>,
}

impl Kept {
    /// Keeps everything for `max_age` at most.
    #[must_use]
    pub fn new(max_age: Duration) -> Self {
        Self {
            judged: Standing::new(max_age, WORTH),
            numbers: Standing::new(max_age, WORTH),
            crashes: Standing::new(max_age, WORTH),
            guilty: Standing::new(max_age, WORTH),
            backtraces: Standing::new(max_age, WORTH),
            offers: Standing::new(max_age, WORTH),
            usual_system: Standing::new(max_age, WORTH),
        }
    }
}

impl Kept {
    /// Forgets everything, for when other records are shown than before.
    pub(crate) fn forget(&self) {
        self.judged.forget();
        self.numbers.forget();
        self.crashes.forget();
        self.guilty.forget();
        self.backtraces.forget();
        self.offers.forget();
        self.usual_system.forget();
    }
}

/// What forms offer, with the builds of one system, or of all.
pub(super) async fn offer(state: &AppState, asked: &Asked, system: Option<&str>) -> Result<Arc<Offered>, WebError> {
    let system = system.map(str::to_owned);
    let make = || {
        let (view, system) = (asked.view.clone(), system.clone());
        async move { Ok::<_, WebError>(offered(&view, system.as_deref()).await?) }
    };
    Ok(state.kept.offers.get(&system, asked.now, NO_EDITS, make).await?.answer)
}

/// The system that is meant where nobody names one; `None` without records.
pub(super) async fn usual_system(state: &AppState, asked: &Asked) -> Result<Option<String>, WebError> {
    let make = || {
        let (view, now) = (asked.view.clone(), asked.now);
        async move { Ok::<_, WebError>(systems::usual(&view, now).await?) }
    };
    Ok(state.kept.usual_system.get(&(), asked.now, NO_EDITS, make).await?.answer.as_ref().clone())
}
