//! Addresses that rows of pages of crashes lead to: with the filters of the page, so that a number and what is behind it
//! are of the same records.

use super::asked::{DAYS, HIDDEN};
use crate::pages::numbers::SYSTEM_NAMES;
use crate::pages::query::Given;
use crate::pages::{address, text};

/// Longest filters that every row repeats, in bytes of HTML: a page has many rows.
const CARRIED_HTML_BYTES_MAX: usize = 300;
/// Longest address of a row, in bytes of HTML.
const ADDRESS_HTML_BYTES_MAX: usize = 600;
/// Longest value of a filter that is shown, in characters.
const VALUE_CHARS: usize = 60;

/// What people call filters; the others have the names of their parameters.
const LABELS: [(&str, &str); 6] = [
    ("system_name", "system"),
    ("os_name", "system"),
    ("build", "build"),
    ("classification", "class"),
    ("machine_id", "machine"),
    ("data_source", "source"),
];

/// The window of a page and those of its filters that links carry on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pages) struct Links {
    days: i64,
    /// The window first.
    carried: Vec<(String, String)>,
    is_whole: bool,
}

/// What a page is narrowed to, and where it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pages) struct Only {
    pub(in crate::pages) text: String,
    pub(in crate::pages) address: String,
}

impl Links {
    /// Those of a page about the last `days` days. Filters that are too long for rows are left out but for the system:
    /// equal names of builds are other builds elsewhere.
    pub(in crate::pages) fn new(given: &Given, days: i64) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let window = (DAYS.to_owned(), days.to_string());
        let with_window =
            |filters: Vec<(String, String)>| [window.clone()].into_iter().chain(filters).collect::<Vec<_>>();
        let whole = with_window(filters(given).map(owned).collect());
        if html_bytes(&whole) <= CARRIED_HTML_BYTES_MAX {
            return Self { days, carried: whole, is_whole: true };
        }
        let of_system =
            with_window(filters(given).filter(|(name, _)| SYSTEM_NAMES.contains(name)).map(owned).collect());
        let fits = html_bytes(&of_system) <= CARRIED_HTML_BYTES_MAX;
        Self { days, carried: if fits { of_system } else { vec![window] }, is_whole: false }
    }

    /// The same without a filter that says what a row is about.
    pub(super) fn without(&self, name: &str) -> Self {
        let carried = self.carried.iter().filter(|(other, _)| other != name).cloned().collect();
        Self { carried, ..self.clone() }
    }

    /// How far the page looks back.
    pub(super) fn days(&self) -> i64 {
        self.days
    }

    /// `path` with the filters of the page, where `more` takes the place of those of the same name; without `more` where
    /// that would be long.
    pub(super) fn to(&self, path: &str, more: &[(&str, &str)]) -> String {
        let has_system = more.iter().any(|(name, _)| SYSTEM_NAMES.contains(name));
        let gives_way =
            |name: &str| more.iter().any(|(other, _)| *other == name) || has_system && SYSTEM_NAMES.contains(&name);
        let kept = self.carried().filter(|(name, _)| !gives_way(name));
        let address = address::with_query(path, kept.chain(more.iter().copied()));
        if text::html_bytes(&address) <= ADDRESS_HTML_BYTES_MAX {
            return address;
        }
        address::with_query(path, self.carried())
    }

    /// What readers have to know where the links leave out filters.
    pub(in crate::pages) fn note(&self) -> Option<&'static str> {
        (!self.is_whole).then_some("The filters are too long for every link: those of rows lead on without them.")
    }

    fn carried(&self) -> impl Iterator<Item = (&str, &str)> {
        self.carried.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Only {
    /// What the filters of a page at `path` about the last `days` days narrow it to; `None` without filters.
    pub(in crate::pages) fn of(given: &Given, path: &str, days: i64) -> Option<Self> {
        let shown = |(name, value): (&str, &str)| {
            let label = LABELS.into_iter().find(|(known, _)| *known == name).map_or(name, |(_, label)| label);
            format!("{} {}", text::line(label, VALUE_CHARS), text::line(value, VALUE_CHARS))
        };
        let filters: Vec<String> = filters(given).map(shown).collect();
        let address = address::with_query(path, [(DAYS, days.to_string().as_str())]);
        (!filters.is_empty()).then(|| Self { text: filters.join(", "), address })
    }
}

/// The filters that say which records a page is about, its window aside.
fn filters(given: &Given) -> impl Iterator<Item = (&str, &str)> {
    given.filters().filter(|(name, _)| ![DAYS, HIDDEN].contains(name))
}

fn html_bytes(pairs: &[(String, String)]) -> usize {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    text::html_bytes(&address::with_query("", pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(query: &str) -> Links {
        Links::new(&Given::parse(query).expect("within the limits"), 9)
    }

    #[test]
    fn filters_go_along_and_give_way_to_those_of_a_row() {
        let given = links("system_name=a%26b&severity=3&days=9&hidden=show&cursor=x");
        assert_eq!(given.to("/x", &[]), "/x?days=9&system_name=a%26b&severity=3");
        assert_eq!(given.to("/x", &[("severity", "4")]), "/x?days=9&system_name=a%26b&severity=4");
        let older = links("os_name=a&build=1");
        assert_eq!(older.to("/x", &[("system_name", "b")]), "/x?days=9&build=1&system_name=b");
        assert_eq!((links("").to("/x", &[]), given.note()), ("/x?days=9".to_owned(), None));
    }

    #[test]
    fn what_is_long_is_left_out_and_the_page_says_so() {
        let bytes = |query: &str| text::html_bytes(&links(query).to("", &[]));
        let value = "x".repeat(CARRIED_HTML_BYTES_MAX - bytes("payload=x") + 1);
        let fits = links(&format!("payload={value}"));
        assert_eq!((html_bytes(&fits.carried), fits.note()), (CARRIED_HTML_BYTES_MAX, None));
        let long = links(&format!("payload={value}x&system_name=s"));
        assert_eq!((long.to("/x", &[]).as_str(), long.note().is_some()), ("/x?days=9&system_name=s", true));
        assert_eq!(links(&format!("system_name={value}{value}")).to("/x", &[]), "/x?days=9");
        let build = "b".repeat(ADDRESS_HTML_BYTES_MAX - "/x?days=9&#38;build=".len());
        assert!(links("").to("/x", &[("build", &build)]).ends_with(&build));
        assert_eq!(links("").to("/x", &[("build", &format!("{build}b"))]), "/x?days=9");
    }

    #[test]
    fn a_page_says_what_it_is_narrowed_to() {
        let only = |query: &str| Only::of(&Given::parse(query).expect("short"), "/x", 7);
        let narrowed = only("days=3&system_name=debian&build=2&severity=3").expect("filters");
        assert_eq!(
            (narrowed.text.as_str(), narrowed.address.as_str()),
            ("system debian, build 2, severity 3", "/x?days=7")
        );
        assert_eq!(only("days=3&hidden=show"), None);
    }
}
