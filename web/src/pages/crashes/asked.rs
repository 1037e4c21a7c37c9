//! What the pages of crashes are asked.

use telemetrics_analytics::filter::RecordFilter;
use telemetrics_schema::TimestampUs;

use crate::api::params;
use crate::api::updates::{days, within};
use crate::error::InvalidParameter;
use crate::pages::query::{Given, PAGING, Problem, QUERY_LIMIT_BYTES};

/// How far a page looks back when nobody says it.
pub(in crate::pages) const DAYS_DEFAULT: i64 = 7;
/// The parameter that says how far a page looks back.
pub(super) const DAYS: &str = "days";
/// The parameter that shows guilties that users hide.
pub(super) const HIDDEN: &str = "hidden";
pub(super) const SHOW: &str = "show";

/// Filters that the window stands for.
const NOT_HERE: [&str; 2] = ["created_in_days", "created_in_sec"];

/// Which crashes a page is about.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::pages) struct Window {
    pub(in crate::pages) filter: RecordFilter,
    pub(in crate::pages) days: i64,
    pub(in crate::pages) shows_hidden: bool,
}

impl Window {
    /// What the parameters say at the instant `now`.
    pub(super) fn read(given: &Given, now: TimestampUs) -> Result<Self, Problem> {
        if let Some((name, _)) = given.filters().find(|(name, _)| NOT_HERE.contains(name)) {
            return Err(InvalidParameter::new(name, "is not a parameter here: days is").into());
        }
        let looks_back = match given.value(DAYS) {
            "" => DAYS_DEFAULT,
            text => days(DAYS, text)?,
        };
        let shows_hidden = match given.value(HIDDEN) {
            "" => false,
            SHOW => true,
            _ => return Err(InvalidParameter::new(HIDDEN, "must be show").into()),
        };
        let filter = params::form_filter(given.pairs(), &[PAGING.as_slice(), &[DAYS, HIDDEN]].concat(), now)?;
        Ok(Self { filter: within(filter, looks_back, now), days: looks_back, shows_hidden })
    }
}

/// The filters of a page as the API takes them, with `more`. `None` where these are longer than a page can repeat: an address
/// without some of them would have other numbers.
pub(super) fn in_api(given: &Given, days: i64, more: &[(&str, &str)]) -> Option<Given> {
    let days = days.to_string();
    let own = given.filters().filter(|(name, _)| *name != DAYS && !more.iter().any(|(other, _)| other == name));
    let pairs = own.chain([("created_in_days", days.as_str())]).chain(more.iter().copied());
    let in_api = Given::of(pairs);
    (in_api.link("", &[]).len() <= QUERY_LIMIT_BYTES).then_some(in_api)
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::time::US_PER_DAY;

    use super::*;

    const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

    fn read(query: &str) -> Result<Window, Option<String>> {
        Window::read(&Given::parse(query).expect("short"), NOW).map_err(|problem| problem.parameter)
    }

    #[test]
    fn a_page_looks_back_a_week_or_as_far_as_one_says() {
        let from = |query: &str| read(query).expect("valid").filter.received_from;
        assert_eq!(from(""), Some(TimestampUs(NOW.0 - 7 * US_PER_DAY)));
        assert_eq!(from("days=1&build=7"), Some(TimestampUs(NOW.0 - US_PER_DAY)));
        assert!(read("hidden=show").expect("valid").shows_hidden && !read("").expect("valid").shows_hidden);
        for wrong in ["days=0", "created_in_days=3", "created_in_sec=3", "hidden=x", "x=1", "severity=7"] {
            assert_eq!(read(wrong), Err(wrong.split('=').next().map(str::to_owned)), "{wrong}");
        }
    }

    #[test]
    fn the_api_is_asked_for_the_same_window() {
        let given = Given::parse("system_name=a%26b&days=3&build=1").expect("short");
        let asked = in_api(&given, 3, &[("build", "1,2")]).expect("short");
        assert_eq!(asked.link("/x", &[]), "/x?system_name=a%26b&created_in_days=3&build=1%2C2");
        let room = QUERY_LIMIT_BYTES - "?created_in_days=3&build=".len();
        let with_build = |bytes: usize| in_api(&Given::default(), 3, &[("build", &"1".repeat(bytes))]);
        assert!(with_build(room).is_some() && with_build(room + 1).is_none());
    }
}
