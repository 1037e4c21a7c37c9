//! What is accepted, and how much of it: read by every request, and changed while records arrive.

use std::sync::{Arc, PoisonError, RwLock};

use telemetrics_schema::wire::Rules;

use crate::rate_limit::RateLimits;

/// What holds for a request from its beginning to its end.
#[derive(Debug, Default)]
pub struct Admitted {
    /// What is accepted.
    pub rules: Arc<Rules>,
    /// How much each telemetry id may send.
    pub rate_limits: RateLimits,
}

/// What holds now; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    now: Arc<RwLock<Arc<Admitted>>>,
}

impl Admission {
    /// What holds from the beginning.
    #[must_use]
    pub fn new(admitted: Admitted) -> Self {
        Self { now: Arc::new(RwLock::new(Arc::new(admitted))) }
    }

    /// What holds now.
    #[must_use]
    pub fn now(&self) -> Arc<Admitted> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What holds for requests that begin from now on. Who has a rate limit has a whole burst again.
    pub fn change(&self, admitted: Admitted) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(admitted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_begun_is_judged_by_what_held_then() {
        let admission = Admission::default();
        let (before, clone) = (admission.now(), admission.clone());
        let rules = Rules { telemetry_ids: vec!["other".to_owned()], strict_fields: true };
        admission.change(Admitted { rules: Arc::new(rules), ..Admitted::default() });
        assert!(!before.rules.strict_fields && clone.now().rules.strict_fields);
    }
}
