//! What users have said about crashes, as far as questions about causes need it; for the API and for the pages.

use std::collections::HashSet;
use std::sync::Arc;

use telemetrics_analytics::crashes::Guilty;
use telemetrics_analytics::questions::crashes::Causes;
use telemetrics_schema::curation::{Frame, State as Curated};
use telemetrics_schema::payload::Filters;

use crate::error::WebError;
use crate::state::AppState;

/// What users have said, at one entry of the history.
pub struct Said {
    /// All of it.
    pub curated: Arc<Curated>,
    /// The frames that they declared never guilty.
    pub filters: Filters,
    /// The identities of guilties that nobody wants to see.
    pub hidden: HashSet<i64>,
}

impl Said {
    /// What holds now.
    ///
    /// # Errors
    /// [`WebError`] when the history cannot be read.
    pub async fn now(state: &AppState) -> Result<Self, WebError> {
        Ok(Self::from(state.curation.state().await?))
    }

    /// What a question about causes needs beside the records.
    #[must_use]
    pub fn causes<'a>(&'a self, state: &'a AppState) -> Causes<'a> {
        Causes { book: &state.stacks, filters: &self.filters }
    }

    /// What users say about a guilty; empty without.
    #[must_use]
    pub fn comment_on(&self, guilty: &Guilty) -> &str {
        let mut comments = self.curated.curated.comments.iter();
        let of = comments.find(|(frame, _)| frame.function == guilty.function && frame.module == guilty.module);
        of.map_or("", |(_, comment)| comment)
    }
}

impl From<Arc<Curated>> for Said {
    fn from(curated: Arc<Curated>) -> Self {
        let hidden = curated.curated.hidden.iter().map(Frame::guilty_id).collect();
        Self { filters: curated.curated.rules(), hidden, curated }
    }
}
