//! The fuzzer over records as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telemetrics_fuzz::json(bytes));
