//! The guilty frame: which one stands for the cause of a crash, given the frames that users declared never guilty.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::demangle::shown_name;
use super::frame::{Frame, is_known};
use super::hash::guilty_id;

/// The frames that are never guilty: pairs of a function, as shown, and its module.
///
/// Where every program begins is always among them and in no list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters {
    modules: BTreeMap<String, BTreeSet<String>>,
}

impl Filters {
    /// Whether frames of this function in this module are never guilty.
    #[must_use]
    pub fn contains(&self, function: &str, module: &str) -> bool {
        is_always_filtered(function) || self.modules.get(function).is_some_and(|modules| modules.contains(module))
    }

    /// Adds a pair; false when it is listed already.
    pub fn insert(&mut self, function: &str, module: &str) -> bool {
        self.modules.entry(function.to_owned()).or_default().insert(module.to_owned())
    }

    /// Takes a pair out; false when it is not listed.
    pub fn remove(&mut self, function: &str, module: &str) -> bool {
        let Some(modules) = self.modules.get_mut(function) else { return false };
        let removed = modules.remove(module);
        if modules.is_empty() {
            self.modules.remove(function);
        }
        removed
    }

    /// The listed pairs, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.modules.iter();
        all.flat_map(|(function, modules)| modules.iter().map(move |module| (function.as_str(), module.as_str())))
    }
}

impl<F: AsRef<str>, M: AsRef<str>> FromIterator<(F, M)> for Filters {
    fn from_iter<I: IntoIterator<Item = (F, M)>>(pairs: I) -> Self {
        let mut filters = Self::default();
        for (function, module) in pairs {
            filters.insert(function.as_ref(), module.as_ref());
        }
        filters
    }
}

/// Whether a function, as shown, is where every program begins: filtered in any module, and not for users to decide.
#[must_use]
pub fn is_always_filtered(function: &str) -> bool {
    function == "_start()" || (function.starts_with("__libc_start_main") && function.ends_with("()"))
}

/// The frame that stands for the cause of a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guilty<'a> {
    /// Its index among the frames.
    pub frame: usize,
    /// Its function as shown.
    pub function: Cow<'a, str>,
    /// Its module.
    pub module: &'a str,
    /// The rule that chose it.
    pub why: Why,
}

impl Guilty<'_> {
    /// Its identity, see [`guilty_id`].
    #[must_use]
    pub fn id(&self) -> i64 {
        guilty_id(&self.function, self.module)
    }
}

/// The rules, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The first frame with a known function that is not filtered.
    FirstKnown,
    /// Every known function is filtered: the first frame with an unknown one that is not.
    FirstUnknown,
    /// Every frame is filtered: the last one.
    LastFiltered,
}

impl Why {
    /// The rule as the end of a sentence that begins with "It is".
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::FirstKnown => "the first frame with a known function that is not filtered",
            Self::FirstUnknown => "the first frame with an unknown function, because all known ones are filtered",
            Self::LastFiltered => "the last frame, because all of them are filtered",
        }
    }
}

/// The guilty one of `frames`, which are those of [`super::Backtrace::stack`]; `None` without frames.
///
/// Demangles no more names than it has to.
#[must_use]
pub fn guilty<'a>(frames: &[Frame<'a>], filters: &Filters) -> Option<Guilty<'a>> {
    guilty_of(frames.iter().map(|frame| (shown_name(frame.function), frame.module)), filters)
}

/// The same of pairs (function as shown, module).
#[must_use]
pub fn guilty_of<'a, F>(frames: impl IntoIterator<Item = (F, &'a str)>, filters: &Filters) -> Option<Guilty<'a>>
where
    F: Into<Cow<'a, str>>,
{
    let mut unknown = None;
    let mut last = None;
    for (frame, (function, module)) in frames.into_iter().enumerate() {
        let function = function.into();
        let is_filtered = filters.contains(&function, module);
        let is_known = is_known(&function);
        let with = |why| Some(Guilty { frame, function, module, why });
        match (is_filtered, is_known) {
            (true, _) => last = with(Why::LastFiltered),
            (false, true) => return with(Why::FirstKnown),
            (false, false) => unknown = unknown.or_else(|| with(Why::FirstUnknown)),
        }
    }
    unknown.or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index of the guilty one of functions in the module `m`, and why.
    fn of(functions: &[&str], filtered: &[&str]) -> Option<(usize, Why)> {
        let frames: Vec<_> =
            functions.iter().map(|function| Frame { number: 0, function, module: "m", source: None }).collect();
        let filters = filtered.iter().map(|function| (function, "m")).collect();
        guilty(&frames, &filters).map(|guilty| (guilty.frame, guilty.why))
    }

    #[test]
    fn the_rules_choose_one_frame() {
        use Why::{FirstKnown, FirstUnknown, LastFiltered};
        let start = "__libc_start_main@@GLIBC_2.34()";
        let cases: [(&[&str], &[&str], _); 17] = [
            (&[], &[], None),
            (&["a()", "b()"], &[], Some((0, FirstKnown))),
            (&["a()", "b()"], &["a()"], Some((1, FirstKnown))),
            (&["a()", "b()"], &["b()"], Some((0, FirstKnown))),
            (&["???", "a()"], &[], Some((1, FirstKnown))),
            (&["???", "? b", "a()"], &["a()"], Some((0, FirstUnknown))),
            (&["???", "? b", "a()"], &["a()", "???"], Some((1, FirstUnknown))),
            (&["? b", "???"], &[], Some((0, FirstUnknown))),
            (&["(no symbols)", "a()"], &[], Some((1, FirstKnown))),
            (&["(no symbols)"], &[], Some((0, FirstUnknown))),
            (&["", "a()"], &["a()"], Some((0, FirstUnknown))),
            (&["a()", "b()"], &["a()", "b()"], Some((1, LastFiltered))),
            (&["???", "a()"], &["a()", "???"], Some((1, LastFiltered))),
            (&["???", "__libc_start_main()"], &[], Some((0, FirstUnknown))),
            (&["a()", start, "_start()"], &["a()"], Some((2, LastFiltered))),
            (&[start], &[], Some((0, LastFiltered))),
            (&["_start", "__libc_start_main"], &[], Some((0, FirstKnown))),
        ];
        for (functions, filtered, expected) in cases {
            assert_eq!(of(functions, filtered), expected, "{functions:?} without {filtered:?}");
        }
    }

    #[test]
    fn symbols_are_demangled_before_they_are_compared() {
        assert_eq!(of(&["_ZN1a1bEi()", "c()"], &["a::b(int)"]), Some((1, Why::FirstKnown)));
        assert_eq!(of(&["_ZN1a1bEi()", "c()"], &["_ZN1a1bEi()"]), Some((0, Why::FirstKnown)));
        let frames = [Frame { number: 0, function: "_ZN1a1bEi()", module: "m", source: None }];
        let guilty = guilty(&frames, &Filters::default()).expect("a guilty");
        assert_eq!((guilty.function.as_ref(), guilty.id()), ("a::b(int)", guilty_id("a::b(int)", "m")));
    }

    #[test]
    fn a_filter_holds_in_its_module() {
        let filters = Filters::from_iter([("a()", "other")]);
        let guilty = guilty_of([("a()", "m"), ("a()", "other")], &filters).expect("a guilty");
        assert_eq!((guilty.frame, guilty.module), (0, "m"));
    }

    #[test]
    fn pairs_are_listed_sorted_and_once() {
        let mut filters = Filters::from_iter([("b()", "m"), ("a()", "n"), ("a()", "m"), ("a()", "m")]);
        assert_eq!(filters.iter().collect::<Vec<_>>(), [("a()", "m"), ("a()", "n"), ("b()", "m")]);
        assert!(!filters.insert("a()", "m") && filters.remove("b()", "m") && !filters.remove("b()", "m"));
        assert_eq!(filters, Filters::from_iter([("a()", "n"), ("a()", "m")]));
    }
}
