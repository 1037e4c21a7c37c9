//! Measurements: micro-benchmarks, the load generator, the side-by-side report.
