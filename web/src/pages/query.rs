//! The query string of a page as it was given: the filters that the form repeats and that links carry on.

use url::form_urlencoded;

use super::address;
use crate::error::InvalidParameter;

/// Longest query string of a page, in bytes: links repeat it, and a page has a limit.
pub const QUERY_LIMIT_BYTES: usize = 2_048;
/// Most parameters of a page.
pub const PARAMETERS_MAX: usize = 32;

/// Parameter that says where a page begins.
pub const CURSOR: &str = "cursor";
/// Parameter with the newest record that a reader has seen.
pub const SEEN: &str = "seen";
/// Parameter with the number of a page, as the original service counted: from 1 on, the newest records first.
pub const PAGE: &str = "page";
/// Parameter with the number of records on a page.
pub const PAGE_SIZE: &str = "page_size";
/// Parameters that say which part of the records is shown, not which records.
pub const PAGING: [&str; 4] = [CURSOR, SEEN, PAGE, PAGE_SIZE];

/// Why what was asked cannot be answered; shown beside the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The parameter that is wrong, when it is one.
    pub parameter: Option<String>,
    /// What is wrong and what is allowed, a sentence.
    pub message: String,
}

impl From<InvalidParameter> for Problem {
    fn from(invalid: InvalidParameter) -> Self {
        Self { message: invalid.to_string(), parameter: Some(invalid.name) }
    }
}

/// The parameters of a page in their order. A form sends its empty fields too: they are left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Given {
    pairs: Vec<(String, String)>,
}

impl Given {
    /// The parameters of a query string (without its `?`).
    ///
    /// # Errors
    /// When it is longer than [`QUERY_LIMIT_BYTES`] or has more than [`PARAMETERS_MAX`] parameters.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let Self { pairs } = Self::with_empty(query)?;
        Ok(Self { pairs: pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect() })
    }

    /// As [`Given::parse`], with what is empty.
    ///
    /// # Errors
    /// As [`Given::parse`].
    pub fn with_empty(query: &str) -> Result<Self, Problem> {
        let too_much = |message: String| Problem { parameter: None, message };
        if query.len() > QUERY_LIMIT_BYTES {
            return Err(too_much(format!("The filters are longer than {QUERY_LIMIT_BYTES} bytes.")));
        }
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if pairs.len() > PARAMETERS_MAX {
            return Err(too_much(format!("There are more than {PARAMETERS_MAX} filters.")));
        }
        Ok(Self { pairs })
    }

    /// Parameters that were within the limits already.
    #[must_use]
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self { pairs: pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }

    /// All parameters, as the records API takes them.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The same with one more parameter, unless it is given already.
    #[must_use]
    pub fn or(mut self, name: &str, value: &str) -> Self {
        if self.value(name).is_empty() {
            self.pairs.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The value of a parameter, empty when it is not given.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.pairs.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
    }

    /// The parameters that say which records are shown.
    pub fn filters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !PAGING.contains(name))
    }

    /// Whether anything but the place in the list is given.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.filters().next().is_some()
    }

    /// `path` with the same filters and `more`.
    #[must_use]
    pub fn link(&self, path: &str, more: &[(&str, &str)]) -> String {
        address::with_query(path, self.filters().chain(more.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_of_the_form_are_left_out() {
        let given = Given::parse("classification=&severity=3&machine_id=").expect("short");
        assert_eq!(given.pairs(), [("severity".to_owned(), "3".to_owned())]);
        assert!(!Given::parse("severity=&cursor=x").expect("short").is_filtered());
    }

    #[test]
    fn links_carry_the_filters_and_not_the_place() {
        let given = Given::parse("build=a%26b&cursor=old").expect("short");
        assert_eq!(given.link("/r", &[("cursor", "new")]), "/r?build=a%26b&cursor=new");
        assert_eq!(Given::default().link("/r", &[]), "/r");
    }

    #[test]
    fn what_is_usual_gives_way_to_what_is_given() {
        let given = Given::parse("build=1").expect("short").or("build", "2").or("system_name", "x");
        assert_eq!((given.value("build"), given.value("system_name")), ("1", "x"));
    }

    #[test]
    fn both_limits_hold_at_their_edges() {
        let long = |bytes: usize| format!("a={}", "x".repeat(bytes - 2));
        assert!(Given::parse(&long(QUERY_LIMIT_BYTES)).is_ok());
        assert!(Given::parse(&long(QUERY_LIMIT_BYTES + 1)).is_err());
        let many = |count: usize| vec!["a=b"; count].join("&");
        assert!(Given::parse(&many(PARAMETERS_MAX)).is_ok());
        assert!(Given::parse(&many(PARAMETERS_MAX + 1)).is_err());
    }
}
