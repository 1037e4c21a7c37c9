//! Reads the server's own numbers from `/metrics`.

use std::collections::HashMap;
use std::net::SocketAddr;

use telemetrics_testkit::http::exchange;

use crate::Failure;

/// The samples of one scrape, by name with its labels.
#[derive(Debug, Clone, Default)]
pub struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// Asks the server at `address`.
    ///
    /// # Errors
    /// When it does not answer with 200.
    pub fn of(address: SocketAddr) -> Result<Self, Failure> {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let answer = exchange(address, request.as_bytes())?;
        if answer.status != 200 {
            return Err(format!("/metrics answers {}", answer.status).into());
        }
        Ok(Self::parse(&answer.text()))
    }

    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        Self(samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// One sample, without the `telemetrics_` that all begin with; 0 when the server has none of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(&format!("telemetrics_{name}")).copied().unwrap_or(0.0)
    }

    /// As [`Metrics::get`], of those whose names begin as those of every process do.
    #[must_use]
    pub fn plain(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// How much a counter grew since `before`.
    #[must_use]
    pub fn since(&self, before: &Self, name: &str) -> f64 {
        self.get(name) - before.get(name)
    }

    /// Mean of what a histogram counted since `before`; 0 when it counted nothing.
    #[must_use]
    pub fn mean_since(&self, before: &Self, name: &str) -> f64 {
        let count = self.since(before, &format!("{name}_count"));
        if count > 0.0 { self.since(before, &format!("{name}_sum")) / count } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str =
        "# HELP telemetrics_a_total An a.\ntelemetrics_a_total 7\ntelemetrics_b_sum 10\ntelemetrics_b_count 2\n";
    const AFTER: &str =
        "telemetrics_a_total 9\ntelemetrics_b_sum 40\ntelemetrics_b_count 12\ntelemetrics_c{x=\"y z\"} 1e3\n";

    #[test]
    fn differences_and_means_are_of_the_time_between() {
        let (before, after) = (Metrics::parse(BEFORE), Metrics::parse(AFTER));
        let close = |value: f64, expected: f64| (value - expected).abs() < 1e-9;
        assert!(close(after.since(&before, "a_total"), 2.0));
        assert!(close(after.mean_since(&before, "b"), 3.0));
        assert!(close(after.mean_since(&after, "b"), 0.0));
        assert!(close(after.get("c{x=\"y z\"}"), 1_000.0) && close(after.get("d"), 0.0));
    }
}
