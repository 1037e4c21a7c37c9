//! The text in which Prometheus reads numbers: families with a help line, a type and samples.
//!
//! Written here instead of taken from an exporter crate: the numbers exist already, as counters and as histograms with
//! buckets of their own, and an exporter wants every single observation through its process-wide recorder. What would be
//! used of it is this file.

use std::fmt::{Display, Write};

use telemetrics_collector::journal::Histogram;

/// Content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text of a scrape, family by family.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// A number that only grows until the process ends; its name ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help, "counter");
        self.sample(name, "", value);
    }

    /// A counter of seconds, in parts of them.
    pub fn seconds(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, help, "counter");
        self.sample(name, "", value);
    }

    /// A counter for each value of one label.
    pub fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.family(name, help, "counter");
        self.samples(name, label, values);
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help, "gauge");
        self.sample(name, "", value);
    }

    /// A gauge for each value of one label.
    pub fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.family(name, help, "gauge");
        self.samples(name, label, values);
    }

    /// A gauge that is always 1 and says something by its label.
    pub fn info(&mut self, name: &str, help: &str, label: &str, value: &str) {
        self.family(name, help, "gauge");
        self.sample(name, &labelled(label, value), 1);
    }

    /// A histogram whose values are counted in a unit of which `per_unit` make the one in its name.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram, per_unit: u32) {
        self.family(name, help, "histogram");
        let unit = f64::from(per_unit);
        let mut count = 0;
        // The last bucket has no upper bound: it is the difference to the count.
        let bounded = &histogram.buckets[..histogram.buckets.len() - 1];
        for (power, bucket) in (0_i32..).zip(bounded) {
            count += bucket;
            self.sample(&format!("{name}_bucket"), &labelled("le", &(2_f64.powi(power) / unit).to_string()), count);
        }
        self.sample(&format!("{name}_bucket"), &labelled("le", "+Inf"), histogram.count);
        self.sample(&format!("{name}_sum"), "", in_unit(histogram.sum, unit));
        self.sample(&format!("{name}_count"), "", histogram.count);
    }

    /// The whole text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn samples<'a>(&mut self, name: &str, label: &str, values: impl IntoIterator<Item = (&'a str, u64)>) {
        for (value, number) in values {
            self.sample(name, &labelled(label, value), number);
        }
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

fn labelled(name: &str, value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{{{name}=\"{escaped}\"}}")
}

/// Sums above 2^53 lose digits that nobody reads.
#[allow(clippy::cast_precision_loss)]
fn in_unit(sum: u64, unit: f64) -> f64 {
    sum as f64 / unit
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use telemetrics_collector::journal::HISTOGRAM_BUCKETS;

    use super::*;

    /// A family as a strict reader sees it.
    #[derive(Debug, Default)]
    pub(crate) struct Family {
        pub(crate) kind: String,
        /// Name and labels as written, and the value.
        pub(crate) samples: Vec<(String, f64)>,
    }

    /// Reads the text as the format's description has it, and accepts nothing else.
    pub(crate) fn parse(text: &str) -> BTreeMap<String, Family> {
        assert!(text.ends_with('\n'), "the last line has an end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a help text");
                assert!(!help.is_empty() && is_name(name), "{line}");
                assert!(families.insert(name.to_owned(), Family::default()).is_none(), "{name} comes twice");
                name.clone_into(&mut current);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                let family = families.get_mut(name).expect("a help line before the type");
                assert!(name == current && family.kind.is_empty() && family.samples.is_empty(), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                kind.clone_into(&mut family.kind);
            } else {
                add_sample(families.get_mut(&current).expect("a family"), &current, line);
            }
        }
        for (name, family) in &families {
            check(name, family);
        }
        families
    }

    fn add_sample(family: &mut Family, name: &str, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (sample, labels) = series.split_once('{').unwrap_or((series, "}"));
        let suffixes: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.iter().any(|suffix| sample == format!("{name}{suffix}")), "{line} in {name}");
        assert!(labels.ends_with('}'), "{line}");
        let value = if value == "+Inf" { f64::INFINITY } else { value.parse().expect("a number") };
        assert!(family.samples.iter().all(|(other, _)| other != series), "{series} comes twice");
        family.samples.push((series.to_owned(), value));
    }

    fn check(name: &str, family: &Family) {
        assert!(!family.samples.is_empty(), "{name} has no samples");
        assert!(name.starts_with("telemetrics_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name}");
        let units = [
            "_bytes",
            "_seconds",
            "_records",
            "_entries",
            "_files",
            "_total",
            "_segments",
            "_connections",
            "_writable",
            "_info",
            "_exports",
            "_statements",
            "_fds",
        ];
        assert!(units.iter().any(|unit| name.ends_with(unit)), "{name} has no unit");
        if family.kind == "histogram" {
            check_histogram(name, family);
        }
    }

    fn check_histogram(name: &str, family: &Family) {
        let (buckets, rest): (Vec<_>, Vec<_>) =
            family.samples.iter().partition(|(series, _)| series.contains("_bucket"));
        let bound = |series: &str| {
            let bound = series.strip_prefix(&format!("{name}_bucket{{le=\"")).and_then(|rest| rest.strip_suffix("\"}"));
            bound
                .map(|bound| if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound") })
                .expect("le")
        };
        assert!(
            buckets.windows(2).all(|pair| bound(&pair[0].0) < bound(&pair[1].0) && pair[0].1 <= pair[1].1),
            "{name}"
        );
        let (last, total) = buckets.last().expect("buckets");
        assert!(bound(last).is_infinite(), "{name} has no last bucket");
        let names: BTreeSet<_> = rest.iter().map(|(series, _)| series.as_str()).collect();
        assert_eq!(names, BTreeSet::from([&*format!("{name}_sum"), &*format!("{name}_count")]));
        assert!(rest.iter().any(|(series, value)| series.ends_with("_count") && (value - total).abs() < 0.5), "{name}");
    }

    fn is_name(name: &str) -> bool {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    }

    fn histogram(values: &[(usize, u64)], sum: u64) -> Histogram {
        let mut buckets = [0; HISTOGRAM_BUCKETS];
        for (bucket, count) in values {
            buckets[*bucket] = *count;
        }
        Histogram { buckets, count: buckets.iter().sum(), sum }
    }

    #[test]
    fn every_kind_of_family_is_read_back() {
        let mut exposition = Exposition::default();
        exposition.counter("telemetrics_a_total", "An a.", 7);
        exposition.counters("telemetrics_b_total", "A b.", "reason", [("x", 1), ("y", 2)]);
        exposition.gauge("telemetrics_c_seconds", "A c.", 1.5);
        exposition.gauges("telemetrics_d_entries", "A d.", "kind", [("x", 3)]);
        let families = parse(&exposition.into_text());
        assert_eq!(families["telemetrics_a_total"].samples, [("telemetrics_a_total".to_owned(), 7.0)]);
        assert_eq!(families["telemetrics_b_total"].samples[1], ("telemetrics_b_total{reason=\"y\"}".to_owned(), 2.0));
        assert_eq!(families["telemetrics_c_seconds"].samples[0].1.to_string(), "1.5");
        assert_eq!(families["telemetrics_d_entries"].samples, [("telemetrics_d_entries{kind=\"x\"}".to_owned(), 3.0)]);
    }

    #[test]
    fn buckets_add_up_in_the_unit_of_the_name() {
        let mut exposition = Exposition::default();
        let values = [(0, 1), (10, 2), (HISTOGRAM_BUCKETS - 1, 4)];
        exposition.histogram("telemetrics_d_seconds", "A d.", &histogram(&values, 3_000_000), 1_000_000);
        let text = exposition.into_text();
        parse(&text);
        for line in [
            "telemetrics_d_seconds_bucket{le=\"0.000001\"} 1",
            "telemetrics_d_seconds_bucket{le=\"0.000512\"} 1",
            "telemetrics_d_seconds_bucket{le=\"0.001024\"} 3",
            "telemetrics_d_seconds_bucket{le=\"33.554432\"} 3",
            "telemetrics_d_seconds_bucket{le=\"+Inf\"} 7",
            "telemetrics_d_seconds_sum 3",
            "telemetrics_d_seconds_count 7",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(labelled("a", "x\"\\\n"), "{a=\"x\\\"\\\\\\n\"}");
    }
}
