//! The fuzzer over cursors of pages.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telemetrics_fuzz::cursor(bytes));
