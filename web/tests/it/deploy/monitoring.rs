//! Alerts and dashboard: Prometheus reads them, they name metrics that exist, and alerts fire when they should.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use serde_json::Value;
use telemetrics_testkit::Authority;

use super::tools::{in_repository, output, text};
use crate::certificates;
use crate::servers::embedded;

/// Suffixes that Prometheus adds to the name of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Names of all metrics that a server tells, with TLS or without.
fn told() -> BTreeSet<String> {
    let (authority, plain) = (Authority::new(), embedded());
    let with_tls = certificates::started(&authority);
    let more = certificates::said(&certificates::curl(with_tls.address(), &authority, "/metrics", &[]));
    let text = plain.get("/metrics").text() + &more;
    text.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned())).collect()
}

/// Names of metrics in an expression; `up` is made by Prometheus itself.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let of_ours = |word: &&str| word.starts_with("telemetrics_") || word.starts_with("process_");
    let whole = |word: &str| PARTS.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word).to_owned();
    words.filter(of_ours).map(whole).collect()
}

fn assert_exists(what: &str, expression: &str, told: &BTreeSet<String>) {
    let named = named(expression);
    assert!(named.is_subset(told), "{what}: {:?}", named.difference(told));
}

/// Every alert as its name and the text of its rule.
fn alerts() -> Vec<(String, String)> {
    let text = text("deploy/prometheus/alerts.yml");
    let rules = text.split("      - alert: ").skip(1);
    rules.map(|rule| (rule.lines().next().expect("a name").to_owned(), rule.to_owned())).collect()
}

#[test]
fn prometheus_reads_its_configuration_and_the_alerts_fire_when_they_should() {
    let folder = in_repository("deploy/prometheus");
    output(&folder, "promtool", &["check", "config", "prometheus.yml"]);
    output(&folder, "promtool", &["test", "rules", &in_repository("testdata/alerts.yml").to_string_lossy()]);
}

#[test]
fn each_alert_names_metrics_that_exist_and_says_what_to_do() {
    let (alerts, told) = (alerts(), told());
    assert!(alerts.len() > 20, "{}", alerts.len());
    let tested = text("testdata/alerts.yml");
    for (name, rule) in &alerts {
        let line = |key: &str| rule.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_default();
        let expression = line("expr: ");
        assert!(!named(expression).is_empty() || expression.contains("up{"), "{name}: {expression}");
        assert_exists(name, expression, &told);
        assert!(["page", "ticket"].contains(&line("severity: ")), "{name}");
        assert!(!line("summary: ").is_empty() && !line("action: ").is_empty(), "{name}");
        assert!(tested.contains(&format!("alertname=\"{name}\"")), "{name} is not among those that are tried out");
    }
}

/// Every expression of the dashboard, with the name of its panel.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().expect("a text").to_owned()))
    };
    let annotations = dashboard["annotations"]["list"].as_array().expect("a list").iter();
    let of_annotations =
        annotations.map(|each| ("annotation".to_owned(), each["expr"].as_str().expect("a text").to_owned()));
    panels.iter().flat_map(of_panel).chain(of_annotations).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist_in_words_that_prometheus_understands() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/telemetrics.json")).expect("JSON");
    let (expressions, told) = (expressions(&dashboard), told());
    assert!(expressions.len() > 30, "{}", expressions.len());
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, (title, expression)) in expressions.iter().enumerate() {
        assert_exists(title, expression, &told);
        // What Grafana puts in for its variables.
        let asked =
            expression.replace("$__rate_interval", "1m").replace("$__interval", "1m").replace("$instance", ".+");
        let asked = serde_json::to_string(&asked).expect("JSON");
        writeln!(rules, "      - record: panel:{number}\n        expr: {asked}").expect("a text");
    }
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("dashboard.yml"), rules).expect("written");
    output(dir.path(), "promtool", &["check", "rules", "dashboard.yml"]);
}

#[test]
fn panels_have_places_and_numbers_of_their_own() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/telemetrics.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
    assert_eq!(ids.len(), panels.len());
    let place = |panel: &Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a number"));
    let places: Vec<[u64; 4]> = panels.iter().map(place).collect();
    for (at, [x, y, w, h]) in places.iter().enumerate() {
        assert!(x + w <= 24 && *h > 0, "{x} {w}");
        let overlaps = |[a, b, c, d]: &[u64; 4]| a < &(x + w) && x < &(a + c) && b < &(y + h) && y < &(b + d);
        assert!(!places[at + 1..].iter().any(overlaps), "{}", panels[at]["title"]);
    }
}
