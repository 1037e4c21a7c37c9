//! The functions that a statement may call. What is not listed is refused.
//!
//! Left out are those that read or tell of anything but their arguments, that make lists (one value may then hold a
//! whole table), and that take more than linear time. What makes texts longer than its arguments stands in a list of
//! its own, see `growing.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::functions::all_default_functions;
use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::functions_window::all_default_window_functions;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use telemetrics_schema::TimestampUs;

use super::concat::concat_operator;
use super::growing::{Budget, Growing, Growth};
use super::instants::{CURRENT_DATE, NOW, current_date, now};
use super::payloads::{self, REGEXP_MATCH};

/// Functions whose result is about as large as their arguments.
const SCALARS: [&str; 61] = [
    "abs",
    "ascii",
    "bit_length",
    "btrim",
    "ceil",
    "character_length",
    "chr",
    "coalesce",
    "contains",
    "date_bin",
    "date_part",
    "date_trunc",
    "ends_with",
    "exp",
    "find_in_set",
    "floor",
    "from_unixtime",
    "greatest",
    "initcap",
    "isnan",
    "iszero",
    "least",
    "left",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "make_date",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "power",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "reverse",
    "right",
    "round",
    "rtrim",
    "signum",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "substr_index",
    "to_date",
    "to_hex",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "translate",
    "trunc",
    "upper",
    "arrow_typeof",
];

/// Functions whose result may be much larger.
const GROWING: [(&str, Growth); 8] = [
    ("concat", Growth::Joined),
    ("concat_ws", Growth::Separated),
    ("lpad", Growth::Padded),
    ("overlay", Growth::Joined),
    ("regexp_replace", Growth::Replaced),
    ("repeat", Growth::Repeated),
    ("replace", Growth::Replaced),
    ("rpad", Growth::Padded),
];

/// As [`GROWING`], of a format.
const FORMATTED: [(&str, Growth); 1] = [("to_char", Growth::Formatted)];

/// Aggregates that keep a value or a number for each group; the memory of those that keep more is counted as they run.
const AGGREGATES: [&str; 24] = [
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "first_value",
    "last_value",
    "max",
    "median",
    "min",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
    "nth_value",
];

const WINDOWS: [&str; 11] = [
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// The regular expressions among all of them, whose second argument is a pattern.
pub(super) const WITH_PATTERN: [&str; 5] =
    ["regexp_count", "regexp_instr", "regexp_like", "regexp_replace", REGEXP_MATCH];

/// What one statement may call, by name and by every other name.
pub(super) struct Functions {
    pub(super) scalars: HashMap<String, Arc<ScalarUDF>>,
    pub(super) aggregates: HashMap<String, Arc<AggregateUDF>>,
    pub(super) windows: HashMap<String, Arc<WindowUDF>>,
}

impl Functions {
    /// Those of a statement that is asked at `now`, whose longer texts are counted in `budget`.
    pub(super) fn new(at: TimestampUs, budget: &Arc<Budget>) -> Self {
        let mut functions = Self { scalars: HashMap::new(), aggregates: HashMap::new(), windows: HashMap::new() };
        for function in all_default_functions() {
            let name = function.name();
            let growing = GROWING.iter().chain(&FORMATTED).find(|(growing, _)| *growing == name);
            if let Some((_, growth)) = growing {
                let bounded = Growing::new(Arc::clone(&function), *growth, Arc::clone(budget));
                functions.add(&Arc::new(ScalarUDF::new_from_impl(bounded)));
            } else if SCALARS.contains(&name) {
                functions.add(&function);
            }
        }
        functions.add(&Arc::new(now(at)));
        functions.add(&Arc::new(current_date(at)));
        for function in payloads::functions() {
            functions.add(&Arc::new(function));
        }
        let joined = Growing::new(Arc::new(concat_operator()), Growth::Joined, Arc::clone(budget));
        functions.add(&Arc::new(ScalarUDF::new_from_impl(joined)));
        for aggregate in all_default_aggregate_functions() {
            if AGGREGATES.contains(&aggregate.name()) {
                let names = aggregate.aliases().iter().cloned().chain([aggregate.name().to_owned()]);
                names.for_each(|name| drop(functions.aggregates.insert(name, Arc::clone(&aggregate))));
            }
        }
        for window in all_default_window_functions() {
            if WINDOWS.contains(&window.name()) {
                let names = window.aliases().iter().cloned().chain([window.name().to_owned()]);
                names.for_each(|name| drop(functions.windows.insert(name, Arc::clone(&window))));
            }
        }
        functions
    }

    /// Those whose answer depends on their arguments alone, whenever they are asked.
    pub(super) fn of_data(budget: &Arc<Budget>) -> Self {
        let mut functions = Self::new(TimestampUs(0), budget);
        functions.scalars.retain(|_, function| ![NOW, CURRENT_DATE].contains(&function.name()));
        functions
    }

    fn add(&mut self, function: &Arc<ScalarUDF>) {
        for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
            self.scalars.insert(name, Arc::clone(function));
        }
    }
}

/// Whether a statement may call a function of this name, in lower case.
pub(super) fn is_function(name: &str) -> bool {
    use std::sync::LazyLock;
    static NAMES: LazyLock<std::collections::HashSet<String>> = LazyLock::new(|| {
        let functions = Functions::new(TimestampUs(0), &Arc::default());
        let names = functions.scalars.into_keys().chain(functions.aggregates.into_keys());
        names.chain(functions.windows.into_keys()).collect()
    });
    NAMES.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_function_exists() {
        let functions = Functions::new(TimestampUs(0), &Arc::default());
        let growing = GROWING.iter().chain(&FORMATTED).map(|(name, _)| *name);
        let missing: Vec<_> = SCALARS
            .into_iter()
            .chain(growing)
            .chain([NOW, CURRENT_DATE])
            .filter(|name| !functions.scalars.contains_key(*name))
            .chain(AGGREGATES.into_iter().filter(|name| !functions.aggregates.contains_key(*name)))
            .chain(WINDOWS.into_iter().filter(|name| !functions.windows.contains_key(*name)))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn other_functions_do_not() {
        for name in ["array_agg", "string_agg", "uuid", "random", "version", "array_repeat", "range", "levenshtein"] {
            assert!(!is_function(name), "{name}");
        }
    }
}
