//! The fuzzer over expressions of payload parsers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telemetrics_fuzz::expression(bytes));
